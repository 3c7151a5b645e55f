import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runWorld, type WorldRules } from './planner-world.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const queue = fc.subarray(NAMES, { minLength: 1 });
const world = fc.record({
  queue,
  bad: fc.subarray(NAMES),
  /** Red together, though each is green alone. */
  clash: fc.option(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...NAMES)), { nil: undefined }),
  conflict: fc.option(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...NAMES)), { nil: undefined }),
  prove: fc.constantFrom('every_commit' as const, 'batch' as const),
  slots: fc.integer({ min: 1, max: 9 }),
  maxBatch: fc.integer({ min: 1, max: 9 }),
  order: fc.array(fc.nat(20), { minLength: 1, maxLength: 30 }),
});
const mishaps = fc.array(
  fc.option(fc.constantFrom('red' as const, 'lost' as const, 'timeout' as const), { nil: undefined, freq: 2 }),
  {
    maxLength: 25,
  },
);

type Given = typeof world extends fc.Arbitrary<infer T> ? T : never;

function rulesOf(given: Given, more: Partial<WorldRules> = {}): WorldRules {
  const { bad, clash, conflict } = given;
  const isClash = (patches: ReadonlySet<string>) =>
    clash !== undefined && clash[0] !== clash[1] && patches.has(clash[0]) && patches.has(clash[1]);
  return {
    ...given,
    isSound: (patches) => !bad.some((id) => patches.has(id)) && !isClash(patches),
    conflicts: conflict === undefined || conflict[0] === conflict[1] ? [] : [conflict],
    mishaps: [],
    ...more,
  };
}

/** The reference result: each patch in turn is tested alone on what has landed. */
function oneByOne({ queue: ids, isSound, conflicts }: WorldRules): { landed: string[]; blocked: string[] } {
  const [landed, blocked]: [string[], string[]] = [[], []];
  for (const id of ids) {
    const conflict = conflicts.some(([a, b]) => (a === id && landed.includes(b)) || (b === id && landed.includes(a)));
    if (!conflict && isSound(new Set([...landed, id]))) landed.push(id);
    else blocked.push(id);
  }
  return { landed, blocked };
}

test('P3: whatever mishaps happen, no untested tree lands, and every patch lands or is blocked', () => {
  fc.assert(
    fc.property(world, mishaps, (given, accidents) => {
      const ended = runWorld(rulesOf(given, { mishaps: accidents }));
      expect(ended.untested).toEqual([]);
      expect(ended.waiting).toEqual([]);
      expect([...ended.landed, ...ended.blocked].toSorted()).toEqual(given.queue.toSorted());
    }),
    { numRuns: 400 },
  );
});

test('two bad patches behind each other are both blocked, instead of being isolated in turn for ever', () => {
  const given = { queue: ['a', 'b', 'e', 'f', 'g'], bad: ['b', 'g'], prove: 'batch', slots: 5, maxBatch: 4 } as const;
  const world = { ...given, queue: [...given.queue], bad: [...given.bad], clash: undefined, conflict: undefined };
  const { landed, blocked } = runWorld(rulesOf({ ...world, order: [12] }, { mishaps: ['timeout'] }));
  expect({ landed: landed.toSorted(), blocked: blocked.toSorted() }).toEqual({
    landed: ['a', 'e', 'f'],
    blocked: ['b', 'g'],
  });
});

test('with deterministic gates and commuting patches the planner lands the same patches as landing one by one', () => {
  fc.assert(
    fc.property(world, (given) => {
      const rules = rulesOf({ ...given, clash: undefined, conflict: undefined });
      const { landed, blocked } = runWorld(rules);
      const expected = oneByOne(rules);
      expect({ landed: landed.toSorted(), blocked: blocked.toSorted() }).toEqual({
        landed: expected.landed.toSorted(),
        blocked: expected.blocked.toSorted(),
      });
    }),
    { numRuns: 400 },
  );
});

test('with every_commit and no failures, patches land in queue order after one gate run each', () => {
  fc.assert(
    fc.property(world, (given) => {
      const rules = rulesOf({ ...given, bad: [], clash: undefined, conflict: undefined, prove: 'every_commit' });
      const { landed, runs } = runWorld(rules);
      expect(landed).toEqual(given.queue);
      expect(runs).toBe(given.queue.length);
    }),
    { numRuns: 500 },
  );
});

test('a window without conflicts is composed at once, however many patches it holds', () => {
  const queue = Array.from({ length: 50 }, (_, n) => `p${n}`);
  const given = { queue, bad: [], slots: 50, maxBatch: 50, order: [3, 1], clash: undefined, conflict: undefined };
  for (const prove of ['every_commit', 'batch'] as const) {
    const { landed, mostAsks } = runWorld(rulesOf({ ...given, prove }));
    expect(landed).toEqual(queue);
    expect(mostAsks).toBe(1);
  }
});

test('patches that change nothing after another cost one more composition round each, and no prefixes of their own', () => {
  // The second of each pair conflicts with the first, so it is never part of a prefix.
  const queue = Array.from({ length: 60 }, (_, n) => `p${n}`);
  const conflicts = Array.from({ length: 15 }, (_, n) => [`p${4 * n}`, `p${4 * n + 1}`] as const);
  const given = { queue, bad: [], slots: 60, maxBatch: 60, order: [0], clash: undefined, conflict: undefined };
  const { landed, mostAsks, mostComposed } = runWorld({
    ...rulesOf({ ...given, prove: 'every_commit' as const }),
    conflicts,
  });
  expect(landed).toHaveLength(45);
  expect(mostAsks).toBeLessThanOrEqual(17);
  expect(mostComposed).toBeLessThanOrEqual(3 * queue.length);
});

test('lost gate runs and a flake block no good patch', () => {
  fc.assert(
    fc.property(world, fc.array(fc.constantFrom('lost' as const, undefined), { maxLength: 15 }), (given, accidents) => {
      const rules = rulesOf(
        { ...given, bad: [], clash: undefined, conflict: undefined },
        { mishaps: ['red', ...accidents] },
      );
      expect(runWorld(rules).blocked).toEqual([]);
    }),
    { numRuns: 400 },
  );
});

test('control: a bad patch is blocked, and the same patch lands if it is good', () => {
  const given = {
    queue: ['a'],
    bad: ['a'],
    prove: 'every_commit' as const,
    slots: 1,
    maxBatch: 1,
    order: [0],
    clash: undefined,
    conflict: undefined,
  };
  expect(runWorld(rulesOf(given)).blocked).toEqual(['a']);
  expect(runWorld(rulesOf({ ...given, bad: [] })).landed).toEqual(['a']);
});
