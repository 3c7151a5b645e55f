import { treesOf } from '../../candidates/compositions.ts';
import type { QueuedPatchRow } from '../../dao/patch-dao.ts';
import { gateDigest } from '../../domain/gates-in-force.ts';
import type { LandingSnapshot } from '../../domain/landing/snapshot.ts';
import type { LandingScene } from './landing-round.ts';

/** Counts assumed of every target in addition to its own: a cautious flake rate of 15 % before its first gate runs. */
const PRIOR = { flaky: 1.5, good: 10 };

/** Reads everything that the planner may know. Compositions that it asks for are made by `compose`. */
export async function readSnapshot(scene: LandingScene): Promise<LandingSnapshot> {
  const { deps, target, policy, room, knowledge, compositions } = scene;
  const queued = new Set(knowledge.queue.map(({ patch_id }) => patch_id));
  const ofBranch = new Set(policy.gates.map((gate) => gateDigest(gate, policy.prepare, room)));
  const pools = [...new Set(policy.gates.map(({ pool }) => pool))];
  const offered = await deps.daos.workers.offeredGateSlots(pools);
  const histories = knowledge.anyDoubts ? [...(await knowledge.flakes()).values()] : [];
  const sumOf = (key: 'good' | 'flaky') => histories.reduce((sum, history) => sum + history[key], 0);
  return {
    tipTreeId: scene.tip.tree,
    paused: target.paused_at !== null,
    prove: policy.landing.prove,
    maxBatch: Math.min(policy.landing.max_batch, scene.pushing.limit ?? policy.landing.max_batch),
    slots: Math.min(policy.landing.slots, Math.max(1, offered.slots)),
    queue: knowledge.queue.map(({ patch_id, land }) => ({ patchId: patch_id, lands: land })),
    compose: (patchIds) => compositions.find(rowsOf(scene, patchIds)),
    proofState: (treeId, digest) => knowledge.proofState(treeId, digest),
    suspicions: (patchId) => knowledge.suspicions(patchId),
    hasRecovered: (patchId) => knowledge.hasRecovered(patchId),
    health: (digest) => knowledge.health(digest),
    isOfBranch: (digest) => ofBranch.has(digest),
    nowMs: offered.nowMs,
    overtakenBy: (patchId) => knowledge.overtakenBy(patchId),
    isPushSuspect: (patchId) => scene.pushing.suspect?.patchId === patchId && othersLand(scene, patchId),
    liveGates: knowledge.live.map((gate) => ({
      gateId: gate.gate_id,
      treeId: gate.tree_id!,
      digest: gate.digest!,
      // Patches that have landed since are part of the tip.
      patchIds: gate.patch_ids.filter((id) => queued.has(id)),
      advisory: gate.advisory,
    })),
    flakeRate: (sumOf('flaky') + PRIOR.flaky) / (sumOf('good') + PRIOR.good),
  };
}

/**
 * Makes compositions in order, up to the first that is not as those after it suppose: a conflict, a patch that changes
 * nothing, or a new policy. Then reads what is known of the resulting trees. Returns how many it made.
 */
export async function composeAll(scene: LandingScene, wanted: readonly (readonly string[])[]): Promise<number> {
  const trees: string[] = [];
  let made = 0;
  for (const patchIds of wanted) {
    const composition = await scene.compositions.make(scene, rowsOf(scene, patchIds));
    made += 1;
    if ('conflict' in composition) break;
    const { candidate } = composition;
    trees.push(...treesOf(candidate));
    if (candidate.treeId === candidate.parentTreeId || candidate.changesPolicy) break;
  }
  await scene.knowledge.learn(trees);
  return made;
}

/** True when another patch waits to land, so that pushing it can show whether this one is the cause. */
export function othersLand({ knowledge }: Pick<LandingScene, 'knowledge'>, patchId: string): boolean {
  return knowledge.queue.some((other) => other.land && other.patch_id !== patchId);
}

function rowsOf({ knowledge }: LandingScene, patchIds: readonly string[]): QueuedPatchRow[] {
  return patchIds.map((id) => knowledge.patches.get(id)!);
}
