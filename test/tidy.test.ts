import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const files = (pattern: string): string[] => globSync(pattern, { cwd: ROOT }).toSorted();
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const CODE = files('{src,bin,migrations,test,bench,chaos,demo}/**/*.ts');
/** Words of the rules themselves, spelled so that this file does not break them. */
const LEFTOVERS = new RegExp(
  `\\b(${['TO', 'FIX'].map((word) => `${word}${word === 'TO' ? 'DO' : 'ME'}`).join('|')})\\b`,
);

test('a source file holds one idea: at most 300 lines', () => {
  expect(files('src/**/*.ts').filter((path) => read(path).split('\n').length > 300)).toEqual([]);
});

test('file names are kebab-case, and none is a drawer', () => {
  const odd = files('{src,test,bench,chaos,demo}/**/*.ts').filter((path) => {
    const name = basename(path).replace(/\.(property\.)?(test\.)?ts$/, '');
    return !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name) || /^(utils?|helpers?|common|misc|types|lib|index)$/.test(name);
  });
  expect(odd).toEqual([]);
});

test('exports are named', () => {
  const byDefault = files('src/**/*.ts').filter((path) => /^export default/m.test(read(path)));
  expect(byDefault).toEqual([]);
});

test('nothing is left for later, skipped or silenced', () => {
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
