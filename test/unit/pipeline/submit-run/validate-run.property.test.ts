import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SluiceError } from '../../../../src/contract/errors.ts';
import { NamedRepositories } from '../../../../src/domain/repository-book.ts';
import { validateRun } from '../../../../src/pipeline/submit-run/validate-run.ts';
import { ToolRegistry } from '../../../../src/tools/registry.ts';

const deps = {
  tools: new ToolRegistry({}),
  repositories: new NamedRepositories({
    known: { app: { url: '/app' } },
    allowAny: false,
    folder: '/',
    sandbox: { mode: 'auto', gate_network: false },
  }),
  allowCommands: true,
} as unknown as Parameters<typeof validateRun>[0];

/** Returns whether the spec is accepted, or refused as spec.invalid with problems; rethrows any other error. */
function answerTo(document: unknown): 'taken' | 'refused' {
  try {
    validateRun(deps, document);
    return 'taken';
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    expect(error.code).toBe('spec.invalid');
    expect(error.problems.length).toBeGreaterThan(0);
    for (const problem of error.problems) expect(problem.message).not.toBe('');
    return 'refused';
  }
}

/** Generates `sound` in 12 of 13 cases, otherwise one of the others. */
function mostly<T>(sound: T, ...others: T[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 12, arbitrary: fc.constant(sound) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
}

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const task = fc.record(
  {
    name,
    tool: mostly('command', 'patch', 'comand'),
    input: mostly<unknown>(
      { argv: ['true'] },
      { format: 'inline', files: [{ path: 'a', content: 'a' }] },
      { argv: [] },
    ),
    depends_on: mostly<string[]>([], ['a'], ['nobody']),
    max_retries: mostly(3, 0, -1),
    queue_timeout_seconds: mostly(60, 1, 0),
    budget: mostly({ usd: 1 }, { usd: 0.01 }, { usd: -1 }),
  },
  { requiredKeys: ['name', 'tool', 'input'] },
);
const spec = fc.record(
  {
    name: mostly('nightly', 'x', ''),
    repository: mostly('app', 'ap', '/etc'),
    branch: mostly('main', 'release/1.x', '-x'),
    priority: mostly(0, 7, 1e9),
    concurrency: mostly<object>({ key: 'k' }, { key: 'k', max: 2, supersede: true }, { key: '', max: 0 }),
    budget: mostly({ usd: 20 }, { usd: 1 }, { usd: Number.POSITIVE_INFINITY }),
    workstreams: fc.array(
      fc.record(
        {
          name,
          depends_on: mostly<string[]>([], ['a'], ['nobody']),
          tasks: fc.array(task, { minLength: 1, maxLength: 3 }),
        },
        { requiredKeys: ['name', 'tasks'] },
      ),
      { minLength: 1, maxLength: 2 },
    ),
  },
  { requiredKeys: ['name', 'repository', 'workstreams'] },
);

test('random JSON is refused with its problems', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (document) => answerTo(document) === 'refused'),
    { numRuns: 2_000 },
  );
});

test('generated specs are accepted or refused with their problems, and both occur', () => {
  const answers = { taken: 0, refused: 0 };
  fc.assert(
    fc.property(spec, (document) => {
      answers[answerTo(document)] += 1;
    }),
    { numRuns: 3_000 },
  );
  expect(answers.taken).toBeGreaterThan(0);
  expect(answers.refused).toBeGreaterThan(0);
});

test('a valid spec with one strange value is accepted or refused as spec.invalid, without any other error', () => {
  const good = {
    name: 'nightly',
    repository: 'app',
    concurrency: { key: 'k', max: 1 },
    budget: { usd: 1 },
    workstreams: [{ name: 'w', tasks: [{ name: 't', tool: 'command', input: { argv: ['true'] }, scope: ['src/**'] }] }],
  };
  expect(answerTo(good)).toBe('taken');
  const strange = fc.oneof(fc.constant('\0'), fc.constant('\ud800'), fc.jsonValue(), fc.constant({ __proto__: null }));
  fc.assert(
    fc.property(fc.constantFrom(...pathsOf(good)), strange, (path, value) => {
      answerTo(withValue(good, path, value));
    }),
    { numRuns: 3_000 },
  );
});

function pathsOf(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [path];
  const entries = Array.isArray(value) ? value.entries() : Object.entries(value);
  return [...(path.length > 0 ? [path] : []), ...[...entries].flatMap(([key, item]) => pathsOf(item, [...path, key]))];
}

function withValue(document: unknown, path: readonly (string | number)[], value: unknown): unknown {
  const copy = structuredClone(document) as Record<string | number, unknown>;
  let holder = copy;
  for (const key of path.slice(0, -1)) holder = holder[key] as Record<string | number, unknown>;
  holder[path.at(-1)!] = value;
  return copy;
}

test('problems of form and of references come in one answer, at most 100 and how many more there are', () => {
  const task = (n: number) => ({ name: `t${n}`, tool: n < 200 ? 'none' : 'command', input: {}, needs: [] });
  const tasks = Array.from({ length: 300 }, (_, n) => task(n));
  const spec = { name: 'many', repository: 'app', workstreams: [{ name: 'w', tasks }], colour: 'red' };
  const refused = (document: unknown): SluiceError => {
    try {
      validateRun(deps, document);
    } catch (error) {
      return error as SluiceError;
    }
    throw new Error('the spec was accepted');
  };
  const { problems } = refused(spec);
  expect(problems).toHaveLength(101);
  expect(problems.at(-1)!.message).toBe('and 501 more problems');
  const few = refused({ ...spec, workstreams: [{ name: 'w', tasks: [{ ...task(0), depends_on: ['x'] }] }] });
  expect(few.problems.map(({ path }) => path).toSorted()).toEqual([
    'colour',
    'workstreams[0].tasks[0].depends_on[0]',
    'workstreams[0].tasks[0].needs',
    'workstreams[0].tasks[0].tool',
  ]);
});
