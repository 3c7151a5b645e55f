import { expect, test } from 'vitest';
import { runSpecSchema } from '../../../src/contract/run-spec.ts';
import { graphProblems } from '../../../src/domain/spec-graph.ts';

const task = (name: string, depends_on: string[] = []) => ({ name, tool: 'command', depends_on });
const problems = (tasks: object[]) =>
  graphProblems(runSpecSchema.parse({ name: 'n', repository: 'r', workstreams: [{ name: 'w', tasks }] }));

test('a valid graph has no problems', () => {
  expect(problems([task('a'), task('b', ['a']), task('c', ['a', 'b'])])).toEqual([]);
});

test('a duplicate name and an unknown dependency are reported with path and suggestion', () => {
  expect(problems([task('build'), task('build'), task('c', ['biuld'])])).toEqual([
    { path: 'workstreams[0].tasks[1].name', message: 'used twice: build is workstreams[0].tasks[0] already' },
    { path: 'workstreams[0].tasks[2].depends_on[0]', message: 'nothing beside it is named biuld: did you mean build?' },
  ]);
});

test('a cycle is reported with the names on it', () => {
  const [problem] = problems([task('a', ['c']), task('b', ['a']), task('c', ['b'])]);
  expect(problem).toEqual({ path: 'workstreams[0].tasks', message: 'depend on each other: a → c → b → a' });
});

test('a task that depends on itself is a cycle', () => {
  expect(problems([task('a', ['a'])])[0]?.message).toBe('depend on each other: a → a');
});

test('a chain of 100,000 tasks is walked without running out of stack', () => {
  const chain = Array.from({ length: 100_000 }, (_, i) => task(`t${i}`, i === 99_999 ? [] : [`t${i + 1}`]));
  expect(problems(chain)).toEqual([]);
});
