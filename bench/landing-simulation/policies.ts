import { gateSchema } from '../../src/contract/policy.ts';
import { doubtOf, type EndedRun, hasRecovered, spokenAgainst } from '../../src/domain/landing/history.ts';
import { planLanding } from '../../src/domain/landing/planner.ts';
import type { LandingSnapshot, Suspicion } from '../../src/domain/landing/snapshot.ts';
import type { Decision, Policy, Run, View } from './world.ts';

/** Reruns that an ordinary queue grants before it takes a tree for red. */
const RETRIES = 1;
const BATCH = 20;

function isGreen(view: View, patchIds: readonly string[]): boolean {
  return view.results(view.treeOf(patchIds)).includes(true);
}

function isRed(view: View, patchIds: readonly string[]): boolean {
  const results = view.results(view.treeOf(patchIds));
  return results.length > RETRIES && !results.includes(true);
}

/** Starts the first wanted candidates that are neither green nor running, and withdraws runs that are not wanted. */
function keepUnderTest(view: View, wanted: readonly (readonly string[])[]): Decision {
  const trees = wanted.map((patchIds) => view.treeOf(patchIds));
  const withdraw = view.live.filter(({ tree }) => !trees.includes(tree));
  const running = view.live.filter((run) => !withdraw.includes(run)).map(({ tree }) => tree);
  const fresh = wanted.filter((patchIds, index) => !running.includes(trees[index]!) && !isGreen(view, patchIds));
  return { withdraw, prove: fresh.slice(0, view.slots - running.length) };
}

const oneByOne: Policy = {
  name: 'one by one',
  proves: 'every commit',
  start: () => (view) => {
    const head = view.queue[0];
    if (head === undefined) return {};
    if (isGreen(view, [head])) return { land: { patchIds: [head], each: true } };
    if (isRed(view, [head])) return { reject: [head] };
    return keepUnderTest(view, [[head]]);
  },
};

/** Tests the waiting patches as one batch of at most BATCH; a red batch is halved until one patch is left. */
const batchAndBisect: Policy = {
  name: 'batch and bisect',
  proves: 'batch',
  start: () => {
    let size = BATCH;
    return (view) => {
      const batch = view.queue.slice(0, size);
      if (batch.length === 0) return {};
      const results = view.results(view.treeOf(batch));
      if (results.includes(true)) {
        size = BATCH;
        return { land: { patchIds: batch, each: false } };
      }
      if (batch.length === 1 && isRed(view, batch)) {
        size = BATCH;
        return { reject: batch };
      }
      if (batch.length > 1 && results.length > 0) {
        size = Math.ceil(batch.length / 2);
        return keepUnderTest(view, [view.queue.slice(0, size)]);
      }
      // A batch that is under test does not grow.
      size = batch.length;
      return keepUnderTest(view, [batch]);
    };
  },
};

/** Zuul's dependent pipeline: a window that grows by one with each success and is halved by each failure. */
const zuulWindow: Policy = {
  name: "Zuul's window",
  proves: 'every commit',
  start: () => {
    let window = 20;
    return (view) => {
      const line: string[][] = [];
      let kept: string[] = [];
      for (const patchId of view.queue.slice(0, window)) {
        const candidate = [...kept, patchId];
        if (isRed(view, candidate)) {
          if (kept.length > 0) continue;
          window = Math.max(3, Math.floor(window / 2));
          return { reject: [patchId] };
        }
        kept = candidate;
        line.push(candidate);
      }
      if (line[0] !== undefined && isGreen(view, line[0])) {
        window += 1;
        return { land: { patchIds: line[0], each: true } };
      }
      return keepUnderTest(view, line);
    };
  },
};

/** Knows which patches are good and needs only to prove them: the reference for the other policies. */
function oracle(proves: Policy['proves']): Policy {
  return {
    name: 'oracle',
    proves,
    start: () => (view) => {
      const bad = view.queue.filter((patchId) => !view.isGood(patchId));
      if (bad.length > 0) return { reject: bad };
      const each = proves === 'every commit';
      const prefixes = view.queue.map((_, index) => view.queue.slice(0, index + 1));
      const wanted = each ? prefixes : prefixes.slice(0, BATCH).slice(-1);
      const firstOpen = prefixes.findIndex((prefix) => !isGreen(view, prefix));
      const green = each
        ? prefixes.slice(0, firstOpen === -1 ? prefixes.length : firstOpen).at(-1)
        : prefixes.findLast((prefix) => isGreen(view, prefix));
      if (green !== undefined) return { land: { patchIds: green, each } };
      // A batch that is under test does not grow.
      return keepUnderTest(view, each || view.live.length === 0 ? wanted : view.live.map(({ patchIds }) => patchIds));
    },
  };
}

const GATE = gateSchema.parse({ name: 'gate', command: ['true'] });
/** Prior of the flake rate, equal to the coordinator's. */
const PRIOR = { flakes: 1.5, runs: 10 };

function sluice(prove: LandingSnapshot['prove']): Policy {
  return {
    name: 'Sluice',
    proves: prove === 'batch' ? 'batch' : 'every commit',
    start: () => {
      const book = new Book();
      return (view) => {
        book.read(view);
        const plan = planLanding({
          tipTreeId: view.treeOf([]),
          paused: false,
          prove,
          maxBatch: BATCH,
          slots: view.slots,
          queue: view.queue.map((patchId) => ({ patchId, lands: true })),
          compose: (patchIds) => {
            const treeId = view.treeOf(patchIds);
            const proofs = [{ gate: GATE, digest: 'gate', treeId, pinned: false }];
            return {
              candidate: {
                patchIds,
                commits: [],
                changesPolicy: false,
                treeId,
                parentTreeId: view.treeOf(patchIds.slice(0, -1)),
                proofs,
              },
            };
          },
          proofState: (tree) => ({
            // The tip was green when it landed.
            passed: view.results(tree).includes(true) || tree === '' || tree === view.treeOf([]),
            live: view.live.some((run) => run.tree === tree),
            spoiled: view
              .results(tree)
              .filter((green) => !green)
              .map(() => ({ gateId: 'gate', outcome: 'red', endedAtMs: view.now })),
          }),
          suspicions: (patchId) => book.suspicions(patchId),
          isPushSuspect: () => false,
          hasRecovered: (patchId) => book.hasRecovered(patchId),
          health: () => book.health(),
          isOfBranch: () => true,
          nowMs: view.now,
          overtakenBy: (patchId) => book.overtakenBy(patchId),
          liveGates: view.live.map(({ tree, patchIds }) => ({
            gateId: tree,
            treeId: tree,
            digest: 'gate',
            patchIds: patchIds.filter((patchId) => !view.landed.has(patchId)),
            advisory: false,
          })),
          flakeRate: book.flakeRate(),
        });
        const landing = plan.steps.find((step) => step.kind === 'land');
        const reject = plan.steps.flatMap((step) => (step.kind === 'block' ? [step.patchId] : []));
        if (landing !== undefined || reject.length > 0) {
          return {
            reject,
            ...(landing && { land: { patchIds: landing.candidate.patchIds, each: prove !== 'batch' } }),
          };
        }
        const withdrawn = plan.steps.flatMap((step) => (step.kind === 'withdraw' ? [step.gateId] : []));
        return {
          withdraw: view.live.filter(({ tree }) => withdrawn.includes(tree)),
          prove: plan.steps.flatMap((step) => (step.kind === 'prove' ? [step.candidate.patchIds] : [])),
        };
      };
    },
  };
}

interface Record extends EndedRun {
  tree: string;
  number: number;
  landedBefore: number;
  ended: boolean;
}

/** Stands for the ledger: records every gate run with its patches and outcome, and answers the planner's questions. */
class Book {
  readonly #records = new Map<Run, Record>();
  #view!: View;

  read(view: View): void {
    this.#view = view;
    for (const run of view.live) {
      if (this.#records.has(run)) continue;
      const about = { gateId: 'gate', gate: GATE, digest: 'gate', pinned: false, outcome: null };
      const { tree, patchIds } = run;
      const number = view.results(tree).length;
      const times = { startedAtMs: run.endsAt - 1, endedAtMs: run.endsAt };
      this.#records.set(run, { ...about, tree, patchIds, number, ...times, landedBefore: 0, ended: false });
    }
    for (const record of this.#records.values()) {
      const green = view.results(record.tree)[record.number];
      if (record.ended || green === undefined) continue;
      record.outcome = green ? null : 'red';
      record.landedBefore = view.landed.size;
      record.ended = true;
    }
  }

  suspicions(patchId: string): Suspicion[] {
    return spokenAgainst(patchId, this.#ended).map((run) =>
      doubtOf(patchId, run, { restTreeId: this.#view.parentOf(run.tree, patchId), amongGreen: false }),
    );
  }

  hasRecovered(patchId: string): boolean {
    return hasRecovered(patchId, this.#ended);
  }

  overtakenBy(patchId: string): number {
    const last = spokenAgainst(patchId, this.#ended).at(-1);
    return this.#view.landed.size - (last?.landedBefore ?? 0);
  }

  health(): { greenAtMs: number; badTipAtMs: number } {
    const green = this.#ended.filter(({ outcome }) => outcome === null);
    return { greenAtMs: Math.max(0, ...green.map(({ endedAtMs }) => endedAtMs)), badTipAtMs: 0 };
  }

  flakeRate(): number {
    const byTree = [...Map.groupBy(this.#ended, ({ tree }) => tree).values()];
    const good = byTree.filter((runs) => runs.some(({ outcome }) => outcome === null)).flat();
    const flaky = good.filter(({ outcome }) => outcome !== null);
    return (flaky.length + PRIOR.flakes) / (good.length + PRIOR.runs);
  }

  get #ended(): Record[] {
    return [...this.#records.values()].filter(({ ended }) => ended);
  }
}

export const POLICIES: readonly Policy[] = [
  oneByOne,
  zuulWindow,
  sluice('every_commit'),
  oracle('every commit'),
  batchAndBisect,
  sluice('batch'),
  oracle('batch'),
];
