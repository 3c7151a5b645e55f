import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const files = (pattern: string): string[] => globSync(pattern, { cwd: ROOT }).toSorted();
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const CODE = files('{src,bin,migrations,test,bench,chaos,demo}/**/*.ts');
/** Markers of unfinished work, composed so that this file does not contain them. */
const LEFTOVERS = new RegExp(
  `\\b(${['TO', 'FIX'].map((word) => `${word}${word === 'TO' ? 'DO' : 'ME'}`).join('|')})\\b`,
);

test('a source file has at most 300 lines', () => {
  expect(files('src/**/*.ts').filter((path) => read(path).split('\n').length > 300)).toEqual([]);
});

test('file names are kebab-case, and none is a catch-all such as utils', () => {
  const odd = files('{src,test,bench,chaos,demo}/**/*.ts').filter((path) => {
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
