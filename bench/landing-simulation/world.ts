import { createHash } from 'node:crypto';

/** One queue, one gate of length 1, and patches that commute, so that policies differ only in what they test. */
export interface Scenario {
  seed: number;
  patches: number;
  /** The share of patches that break the gate. */
  failing: number;
  /** The share of runs on good trees that are red (flakes). */
  flakes: number;
  slots: number;
  /** Patches per gate length; infinite: all arrive at once. */
  arrivalRate: number;
}

export interface Run {
  patchIds: readonly string[];
  tree: string;
  endsAt: number;
}

/** The state that a policy decides on. */
export interface View {
  now: number;
  slots: number;
  queue: readonly string[];
  landed: ReadonlySet<string>;
  live: readonly Run[];
  /** Results of a tree's runs, oldest first. */
  results: (tree: string) => readonly boolean[];
  treeOf: (patchIds: readonly string[]) => string;
  /** A tree without one of its patches. */
  parentOf: (tree: string, patchId: string) => string;
  /** Only for the oracle. */
  isGood: (patchId: string) => boolean;
}

export interface Decision {
  withdraw?: readonly Run[];
  reject?: readonly string[];
  /** In landing order; `each`: every prefix must be green, not the last one alone. */
  land?: { patchIds: readonly string[]; each: boolean };
  prove?: readonly (readonly string[])[];
}

export interface Policy {
  name: string;
  proves: 'every commit' | 'batch';
  /** Makes a fresh decision function for each scenario, because a policy may keep state. */
  start: () => (view: View) => Decision;
}

export interface Outcome {
  rounds: number;
  runs: number;
  /** Times from arrival to landing, one per landed patch. */
  turnarounds: number[];
  innocentsRejected: number;
  untestedLanded: number;
}

const MAX_DECISIONS = 200;

export function play(policy: Policy, scenario: Scenario): Outcome {
  const chance = (...parts: (string | number)[]): number => {
    const hash = createHash('sha1')
      .update([scenario.seed, ...parts].join(' '))
      .digest();
    return hash.readUInt32BE(0) / 2 ** 32;
  };
  const ids = Array.from({ length: scenario.patches }, (_, i) => `p${String(i).padStart(3, '0')}`);
  const isGood = (patchId: string): boolean => chance('good', patchId) >= scenario.failing;
  const arrivals = arrivalTimes(ids, scenario.arrivalRate, chance);
  const decide = policy.start();

  let now = 0;
  const waiting = new Set(ids);
  const landed = new Set<string>();
  const results = new Map<string, boolean[]>();
  let live: Run[] = [];
  const outcome: Outcome = { rounds: 0, runs: 0, turnarounds: [], innocentsRejected: 0, untestedLanded: 0 };
  const treeOf = (patchIds: readonly string[]): string => [...landed, ...patchIds].toSorted().join(' ');

  while (waiting.size > 0) {
    for (let tries = 0; ; tries += 1) {
      if (tries > MAX_DECISIONS) throw new Error(`${policy.name} keeps deciding without an end`);
      const queue = ids.filter((id) => waiting.has(id) && arrivals.get(id)! <= now);
      const view: View = {
        now,
        slots: scenario.slots,
        queue,
        landed,
        live,
        results: (tree) => results.get(tree) ?? [],
        treeOf,
        parentOf: (tree, patchId) =>
          tree
            .split(' ')
            .filter((id) => id !== patchId)
            .join(' '),
        isGood,
      };
      const decision = decide(view);
      if (!carryOut(decision)) break;
    }
    const next = Math.min(
      ...live.map(({ endsAt }) => endsAt),
      ...ids.filter((id) => waiting.has(id) && arrivals.get(id)! > now).map((id) => arrivals.get(id)!),
    );
    if (waiting.size === 0) break;
    if (!Number.isFinite(next)) throw new Error(`${policy.name} is stuck: nothing runs and nothing arrives`);
    now = next;
    for (const run of live.filter(({ endsAt }) => endsAt <= now)) end(run);
    live = live.filter(({ endsAt }) => endsAt > now);
  }
  outcome.rounds = now;
  return outcome;

  function end({ tree }: Run): void {
    const known = results.get(tree) ?? [];
    const good = tree.split(' ').every((id) => id === '' || isGood(id));
    results.set(tree, [...known, good && chance('flake', tree, known.length) >= scenario.flakes]);
  }

  function carryOut({ withdraw = [], reject = [], land, prove = [] }: Decision): boolean {
    live = live.filter((run) => !withdraw.includes(run));
    for (const patchId of reject) {
      waiting.delete(patchId);
      if (isGood(patchId)) outcome.innocentsRejected += 1;
    }
    if (land !== undefined) landAll(land);
    for (const patchIds of prove) {
      if (live.length >= scenario.slots) throw new Error(`${policy.name} uses more slots than there are`);
      live.push({ patchIds, tree: treeOf(patchIds), endsAt: now + 1 });
      outcome.runs += 1;
    }
    return reject.length > 0 || land !== undefined || prove.length > 0;
  }

  function landAll({ patchIds, each }: { patchIds: readonly string[]; each: boolean }): void {
    for (const [index, patchId] of patchIds.entries()) {
      landed.add(patchId);
      waiting.delete(patchId);
      outcome.turnarounds.push(now - arrivals.get(patchId)!);
      const mustBeGreen = each || index === patchIds.length - 1;
      if (mustBeGreen && !(results.get(treeOf([])) ?? []).includes(true)) outcome.untestedLanded += 1;
    }
  }
}

function arrivalTimes(
  ids: readonly string[],
  rate: number,
  chance: (...parts: (string | number)[]) => number,
): Map<string, number> {
  let at = 0;
  return new Map(
    ids.map((id) => {
      if (Number.isFinite(rate)) at += -Math.log(1 - chance('arrival', id)) / rate;
      return [id, at];
    }),
  );
}
