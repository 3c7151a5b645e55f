import { gateSchema } from '../../../../src/contract/policy.ts';
import type { GateOutcome } from '../../../../src/contract/states.ts';
import { doubtOf, type EndedRun, hasRecovered, spokenAgainst } from '../../../../src/domain/landing/history.ts';
import { type LandingPlan, planLanding } from '../../../../src/domain/landing/planner.ts';
import type { Candidate, Composition, LandingSnapshot, LiveGate } from '../../../../src/domain/landing/snapshot.ts';

export interface WorldRules {
  queue: string[];
  prove: LandingSnapshot['prove'];
  slots: number;
  maxBatch: number;
  /** Whether a tree with these patches is sound. */
  isSound: (patches: ReadonlySet<string>) => boolean;
  /** Pairs of patches that conflict. */
  conflicts: readonly (readonly [string, string])[];
  /** Outcomes of the first runs on sound trees, in order, in place of green; all later runs are green. */
  mishaps: readonly (Exclude<GateOutcome, 'withdrawn'> | undefined)[];
  /** Selects which live gate ends next; any number, taken modulo the number of live gates. */
  order: readonly number[];
}

interface LiveRun extends LiveGate {
  patches: ReadonlySet<string>;
  owner: string;
  startedAt: number;
}

export interface Ended {
  landed: string[];
  blocked: string[];
  /** Patches that still wait when nothing more can happen. */
  waiting: string[];
  runs: number;
  untested: string[][];
  /** Most times that one round had to compose before there was a plan. */
  mostAsks: number;
  /** Most compositions that one round made. */
  mostComposed: number;
}

const GATE = gateSchema.parse({ name: 'gate', command: ['true'] });
const MAX_STEPS = 3_000;
const PATIENCE = 24;
const A_WHILE = 3_600_000;

/** Simulates ledger, branch and workers: carries out the planner's steps until nothing changes any more. */
export function runWorld(rules: WorldRules): Ended {
  const landed: string[] = [];
  const blocked: string[] = [];
  let queue = [...rules.queue];
  let live: LiveRun[] = [];
  const ended: (EndedRun & { patches: ReadonlySet<string>; tree: string })[] = [];
  const green = new Set<string>([treeOf([])]);
  const untested: string[][] = [];
  let [clock, mishap, order] = [0, 0, 0];
  let waited = false;
  let mostAsks = 0;
  let mostComposed = 0;
  /** Compositions that were asked for, with what they were composed on. */
  const made = new Set<string>();

  for (let step = 0; step < MAX_STEPS; step += 1) {
    const plan = planComposed();
    if (carryOut(plan)) continue;
    if (live.length === 0) {
      if (waited) return { landed, blocked, waiting: queue, runs: ended.length, untested, mostAsks, mostComposed };
      // Advance the clock once, so that retries in backoff become due.
      waited = true;
      clock += A_WHILE;
      continue;
    }
    waited = false;
    const oldest = live[0]!;
    const chosen = live[(rules.order[order++ % Math.max(1, rules.order.length)] ?? 0) % live.length]!;
    // Gates have timeouts, so no gate is overtaken for ever.
    end(clock - oldest.startedAt > PATIENCE ? oldest : chosen);
  }
  throw new Error(`no end after ${MAX_STEPS} steps: ${JSON.stringify({ landed, blocked, queue })}`);

  function planComposed(): LandingPlan {
    const before = made.size;
    for (let asks = 0; asks <= 2 * queue.length; asks += 1) {
      mostAsks = Math.max(mostAsks, asks);
      const plan = planLanding(snapshot());
      if (plan.missing.length === 0) {
        assertSameLine(plan, planLanding({ ...snapshot(), compose: composed }));
        return plan;
      }
      for (const patchIds of plan.missing) {
        made.add(compositionOf(patchIds));
        mostComposed = Math.max(mostComposed, made.size - before);
        if (conflictsWith(patchIds.at(-1)!, [...landed, ...patchIds.slice(0, -1)])) break;
      }
    }
    throw new Error('the planner asks without end');
  }

  function composed(patchIds: readonly string[]): Composition {
    const before = patchIds.slice(0, -1);
    if (conflictsWith(patchIds.at(-1)!, [...landed, ...before])) {
      return { conflict: { kind: 'block', reason: 'conflict', evidence: {} } };
    }
    const treeId = treeOf(patchIds);
    const candidate: Candidate = {
      patchIds,
      commits: [],
      treeId,
      changesPolicy: false,
      parentTreeId: treeOf(before),
      proofs: [{ gate: GATE, digest: 'gate', treeId, pinned: false }],
    };
    return { candidate };
  }

  function compositionOf(patchIds: readonly string[]): string {
    return `${landed.length} ${patchIds.join(' ')}`;
  }

  function treeOf(patchIds: readonly string[]): string {
    return [...new Set([...landed, ...patchIds])].toSorted().join(' ');
  }

  function conflictsWith(patchId: string, others: readonly string[]): boolean {
    return rules.conflicts.some(
      ([a, b]) => (a === patchId && others.includes(b)) || (b === patchId && others.includes(a)),
    );
  }

  function snapshot(): LandingSnapshot {
    const doubtsOf = (patchId: string) =>
      spokenAgainst(patchId, ended).map((run) =>
        doubtOf(patchId, run, {
          amongGreen: false,
          restTreeId: [...run.patches]
            .filter((id) => id !== patchId)
            .toSorted()
            .join(' '),
        }),
      );
    return {
      tipTreeId: treeOf([]),
      paused: false,
      prove: rules.prove,
      maxBatch: rules.maxBatch,
      slots: rules.slots,
      queue: queue.map((patchId) => ({ patchId, lands: true })),
      compose: (patchIds) => (made.has(compositionOf(patchIds)) ? composed(patchIds) : undefined),
      proofState: (tree) => ({
        passed: green.has(tree),
        live: live.some(({ treeId }) => treeId === tree),
        spoiled: ended.flatMap((run) =>
          run.tree === tree && run.outcome !== null
            ? [{ gateId: run.gateId, outcome: run.outcome, endedAtMs: run.endedAtMs }]
            : [],
        ),
      }),
      suspicions: doubtsOf,
      isPushSuspect: () => false,
      hasRecovered: (patchId) => hasRecovered(patchId, ended),
      health: () => ({
        greenAtMs: lastEnd((run) => run.outcome === null),
        badTipAtMs: lastEnd(
          ({ outcome, patchIds }) => patchIds.length === 0 && (outcome === 'red' || outcome === 'timeout'),
        ),
      }),
      isOfBranch: () => true,
      nowMs: clock,
      overtakenBy: () => 0,
      liveGates: live.map((run) => ({ ...run, patchIds: run.patchIds.filter((id) => queue.includes(id)) })),
      flakeRate: 0.01,
    };
  }

  function lastEnd(which: (run: EndedRun) => boolean): number {
    return Math.max(0, ...ended.filter(which).map(({ endedAtMs }) => endedAtMs));
  }

  function carryOut({ steps }: LandingPlan): boolean {
    let moved = false;
    for (const planned of steps) {
      if (planned.kind === 'withdraw') live = live.filter(({ gateId }) => gateId !== planned.gateId);
      if (planned.kind === 'land') {
        const trees =
          rules.prove === 'batch'
            ? [planned.candidate.patchIds]
            : planned.candidate.patchIds.map((_, i) => planned.candidate.patchIds.slice(0, i + 1));
        for (const ids of trees) if (!green.has(treeOf(ids))) untested.push([...landed, ...ids]);
        landed.push(...planned.candidate.patchIds);
        queue = queue.filter((id) => !landed.includes(id));
        return true;
      }
      if (planned.kind === 'block' || planned.kind === 'supersede') {
        blocked.push(planned.patchId);
        queue = queue.filter((id) => id !== planned.patchId);
        moved = true;
      }
      if (planned.kind === 'prove' && !live.some(({ treeId }) => treeId === planned.proof.treeId)) {
        const { patchIds } = planned.candidate;
        clock += 1;
        const about = { gateId: `g${clock}`, treeId: planned.proof.treeId, digest: 'gate', advisory: false };
        live.push({
          ...about,
          patchIds,
          patches: new Set([...landed, ...patchIds]),
          owner: planned.owner,
          startedAt: clock,
        });
        moved = true;
      }
    }
    return moved;
  }

  function end(run: LiveRun): void {
    live = live.filter((other) => other !== run);
    const sound = rules.isSound(run.patches);
    const outcome = sound ? (rules.mishaps[mishap++] ?? null) : 'red';
    if (outcome === null) green.add(run.treeId);
    const { gateId, patchIds, startedAt, patches, treeId: tree } = run;
    clock += 1;
    const times = { startedAtMs: startedAt, endedAtMs: clock };
    ended.push({ gateId, gate: GATE, digest: 'gate', pinned: false, patchIds, outcome, ...times, patches, tree });
  }
}

/** A plan that asked for its compositions must have the same line as one to which all of them were known. */
function assertSameLine(asked: LandingPlan, known: LandingPlan): void {
  const lineOf = ({ line }: LandingPlan): string =>
    JSON.stringify({
      accepted: line.accepted.map(({ candidate }) => candidate.patchIds),
      suspects: line.suspects.map(({ patchId }) => patchId),
    });
  if (lineOf(asked) !== lineOf(known)) throw new Error(`asked: ${lineOf(asked)}, known: ${lineOf(known)}`);
}
