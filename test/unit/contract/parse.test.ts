import { describe, expect, test } from 'vitest';
import { SluiceError } from '../../../src/contract/errors.ts';
import { parseDocument } from '../../../src/contract/parse.ts';
import { policySchema } from '../../../src/contract/policy.ts';
import { runSpecSchema } from '../../../src/contract/run-spec.ts';

function problemsOf(document: unknown, schema: typeof runSpecSchema | typeof policySchema = runSpecSchema) {
  try {
    parseDocument(schema as typeof runSpecSchema, document, { code: 'spec.invalid', what: 'test' });
  } catch (error) {
    expect(error).toBeInstanceOf(SluiceError);
    return (error as SluiceError).problems;
  }
  return [];
}
const task = { name: 'a', tool: 'command', input: { argv: ['true'] } };
const spec = (more: object, taskMore: object = {}) => ({
  name: 'n',
  repository: 'app',
  workstreams: [{ name: 'w', tasks: [{ ...task, ...taskMore }] }],
  ...more,
});

describe('a document with any problem is refused', () => {
  test('every problem is reported with its path', () => {
    const problems = problemsOf({ name: '', repository: 'app', workstreams: [{ name: 'w', tasks: [{ name: 'a' }] }] });
    expect(problems.map(({ path }) => path)).toEqual(['name', 'workstreams[0].tasks[0].tool']);
  });

  test('an unknown key is reported with a suggestion, also for key names of other tools', () => {
    expect(problemsOf(spec({ priorty: 1 }))).toEqual([
      { path: 'priorty', message: 'unknown key: did you mean priority?' },
    ]);
    expect(problemsOf(spec({}, { needs: ['b'], timeout: 5 }))).toEqual([
      { path: 'workstreams[0].tasks[0].needs', message: 'unknown key: did you mean depends_on?' },
      { path: 'workstreams[0].tasks[0].timeout', message: 'unknown key: did you mean timeout_seconds?' },
    ]);
    expect(problemsOf(spec({ zzz: 1 }))).toEqual([{ path: 'zzz', message: 'unknown key' }]);
  });

  test('a run without workstreams or tasks is refused', () => {
    expect(problemsOf(spec({ workstreams: [] })).map(({ path }) => path)).toEqual(['workstreams']);
    expect(problemsOf(spec({ workstreams: [{ name: 'w', tasks: [] }] })).map(({ path }) => path)).toEqual([
      'workstreams[0].tasks',
    ]);
  });

  test('branch names that git or a shell could misread are refused', () => {
    for (const branch of ['--upload-pack=x', 'a..b', 'a b', '/a', 'a.lock', 'a//b', '@', 'a@{1}', '']) {
      expect(problemsOf(spec({ branch })).map(({ path }) => path)).toEqual(['branch']);
    }
  });
});

test('globs that other tools read differently are refused with their path', () => {
  for (const glob of ['{1..3}', '/', '@(a|b)', '+(a)']) {
    expect(problemsOf(spec({}, { scope: [glob] })).map(({ path }) => path)).toEqual([
      'workstreams[0].tasks[0].scope[0]',
    ]);
  }
  expect(problemsOf(spec({}, { scope: ['src/**/*.test.ts', '{a,b}/*', 'x-*-*-*-*', '**/a/**/b/**/c/**'] }))).toEqual(
    [],
  );
});

describe('the policy', () => {
  test('an empty policy is valid and has no gates', () => {
    expect(policySchema.parse({})).toMatchObject({
      gates: [],
      pinned: [],
      limits: { max_files: 200 },
      landing: { slots: 4 },
    });
  });

  test('a gate may depend only on gates above it, and names of gates are unique', () => {
    const gate = (name: string, more: object = {}) => ({ name, command: ['true'], ...more });
    const problems = problemsOf({ gates: [gate('a', { depends_on: ['b'] }), gate('b'), gate('a')] }, policySchema);
    expect(problems.map(({ path }) => path)).toEqual(['gates[0].depends_on', 'gates[2].name']);
  });

  test('a kept path must lie inside the repository and outside .git', () => {
    const problems = problemsOf(
      { prepare: [{ name: 'p', command: ['x'], kept_paths: ['../out', '.git'] }] },
      policySchema,
    );
    expect(problems.map(({ path }) => path)).toEqual(['prepare[0].kept_paths[0]', 'prepare[0].kept_paths[1]']);
  });
});

test('of many problems a hundred are reported, with the number of the others and shortened paths', () => {
  const unknown = Object.fromEntries(Array.from({ length: 300_000 }, (_, n) => [`unknown-${n}`, 1]));
  const problems = problemsOf({ ...spec({}), ...unknown });
  expect(problems).toHaveLength(101);
  expect(problems.at(-1)!.message).toBe('and 299900 more problems');
  const [long] = problemsOf({ ...spec({}), ['x'.repeat(1_000_000)]: 1 });
  expect(long!.path.length).toBeLessThanOrEqual(100);
});
