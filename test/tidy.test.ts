import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { brokenRules, commentsOf } from '../scripts/comments.ts';
import { testReadme } from '../scripts/promises.ts';

const ROOT = join(import.meta.dirname, '..');
const files = (pattern: string): string[] => globSync(pattern, { cwd: ROOT }).toSorted();
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const CODE = files('{src,bin,migrations,test,bench,chaos,demo,harness,scripts}/**/*.ts');
const DOCS = files('{*.md,docs/**/*.md,test/*.md}').filter((path) => path !== 'CHANGELOG.md');
/** Markers of unfinished work, composed so that this file does not contain them. */
const LEFTOVERS = new RegExp(
  `\\b(${['TO', 'FIX'].map((word) => `${word}${word === 'TO' ? 'DO' : 'ME'}`).join('|')})\\b`,
);

test('a source file has at most 300 lines', () => {
  expect(files('src/**/*.ts').filter((path) => read(path).split('\n').length > 300)).toEqual([]);
});

test('file names are kebab-case, and none is a catch-all such as utils', () => {
  const odd = files('{src,test,bench,chaos,demo,harness}/**/*.ts').filter((path) => {
    const name = basename(path).replace(/\.(property\.)?(test\.)?ts$/, '');
    return !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name) || /^(utils?|helpers?|common|misc|types|lib|index)$/.test(name);
  });
  expect(odd).toEqual([]);
});

test('source files have no default export', () => {
  const byDefault = files('src/**/*.ts').filter((path) => /^export default/m.test(read(path)));
  expect(byDefault).toEqual([]);
});

test('code has no marker of unfinished work, no skipped test and no silenced type check', () => {
  const silenced = new RegExp(`@ts-${'ignore'}|@ts-${'nocheck'}|\\b(it|test|describe)\\.(skip|only|todo)\\b`);
  expect(CODE.filter((path) => LEFTOVERS.test(read(path)) || silenced.test(read(path)))).toEqual([]);
});

test('every unit test mirrors a source file', () => {
  const orphans = files('test/unit/**/*.test.ts').filter((path) => {
    const source = path.replace('test/unit/', 'src/').replace(/(\.property)?\.test\.ts$/, '.ts');
    return !files('src/**/*.ts').includes(source);
  });
  expect(orphans).toEqual([]);
});

test('test/README.md says which promise is proven where: `node scripts/promises.ts` makes it anew', () => {
  expect(read('test/README.md')).toBe(testReadme());
  for (const section of testReadme().split('\n## ').slice(1)) expect(section).toMatch(/\.test\.ts\)/);
});

describe('plain words (CONTRIBUTING, "Words")', () => {
  test('comments begin with a subject or a verb, name their actor, and are short', () => {
    const broken = CODE.flatMap((path) =>
      commentsOf(read(path)).flatMap((comment) =>
        brokenRules(comment).map((rule) => `${path}:${comment.line} ${rule}: ${comment.lines.join(' ')}`),
      ),
    );
    expect(broken).toEqual([]);
  });

  test('control: a fragment, a person in place of the actor and a long docstring are found', () => {
    const source = `/** What nobody needs. */\n/**\n${' * A line.\n'.repeat(6)} */\n// It waits until whoever holds it is gone.\n`;
    expect(commentsOf(source).map(brokenRules)).toEqual([
      ['begins with a fragment', 'names no actor'],
      ['a docstring over five lines'],
      ['names no actor'],
    ]);
  });

  test('prose of the documentation is wrapped at 100 characters', () => {
    const long = DOCS.flatMap((path) =>
      proseOf(read(path)).flatMap(({ line, text }) => (text.length > 100 ? [`${path}:${line}`] : [])),
    );
    expect(long).toEqual([]);
  });
});

/** Lines outside of code blocks and tables. A line without a space cannot be wrapped. */
function proseOf(page: string): { line: number; text: string }[] {
  let isCode = false;
  return page.split('\n').flatMap((text, index) => {
    if (text.startsWith('```')) isCode = !isCode;
    return isCode || /^(```|\||\s*\S+$)/.test(text) ? [] : [{ line: index + 1, text }];
  });
}
