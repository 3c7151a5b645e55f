import { SluiceError } from '../../contract/errors.ts';
import type { Candidate, LandingStep } from '../../domain/landing-planner.ts';
import { type PushAnswer, pushByCompareAndSwap } from '../../git/push.ts';
import { requestGate, withdrawGates } from '../../ledger/gates.ts';
import { blockPatch, openIntent, supersedeLandedElsewhere } from '../../ledger/landing.ts';
import { pauseTarget } from '../../ledger/targets.ts';
import { newId } from '../../lib/id.ts';
import type { LandingScene } from './coordinator.ts';
import { settleOpenIntent } from './settle.ts';
import { verifyApplied } from './verify.ts';

const MAX_PUSH_FAULTS = 5;

/** Carries out one step by compare-and-set. True when the world may look different now. */
export async function carryOut(scene: LandingScene, step: LandingStep): Promise<boolean> {
  const { deps, lease, tip } = scene;
  switch (step.kind) {
    case 'block':
      await block(scene, step);
      return true;
    case 'supersede':
      await deps.ledger.write((tx) => supersedeLandedElsewhere(tx, lease, { patchId: step.patchId, tip: tip.commit }));
      hintTasks(scene);
      return true;
    case 'prove':
      await prove(scene, step);
      return false;
    case 'withdraw': {
      const withdrawn = await deps.ledger.write((tx) => withdrawGates(tx, lease, [step.gateId]));
      for (const gateId of withdrawn) deps.ledger.hint(`cancel:${gateId}`);
      return false;
    }
    case 'land':
      return land(scene, step.candidate);
    default:
      return step satisfies never;
  }
}

async function block(scene: LandingScene, step: Extract<LandingStep, { kind: 'block' }>): Promise<void> {
  const { deps, lease } = scene;
  const { patchId, reason } = step;
  const patch = await deps.daos.patches.get(patchId);
  const task = await deps.daos.tasks.get(patch.task_id);
  const evidence = { ...step.evidence, ...(await gateOutput(scene, step.evidence)) };
  const mayRetry = task.tool !== 'patch';
  await deps.ledger.write((tx) => blockPatch(tx, lease, { patchId, reason, evidence, mayRetry }));
  deps.log.info({ patchId, reason }, 'patch.blocked');
  hintTasks(scene);
}

/** What the gate printed is the evidence that an author, person or agent, needs. */
async function gateOutput({ deps }: LandingScene, evidence: Readonly<Record<string, unknown>>) {
  if (typeof evidence.gate_id !== 'string') return {};
  const gate = await deps.daos.gates.find(evidence.gate_id);
  return gate === undefined ? {} : { exit_code: gate.exit_code, ...gate.test_results };
}

async function prove(scene: LandingScene, step: Extract<LandingStep, { kind: 'prove' }>): Promise<void> {
  const { deps, lease, target, tip } = scene;
  const { gate, digest, treeId, pinned } = step.proof;
  const made = await deps.ledger.write((tx) =>
    requestGate(tx, lease, {
      gate_id: newId('gate'),
      target_id: target.target_id,
      definition: gate,
      digest,
      tree_id: treeId,
      tip_commit: tip.commit,
      patch_ids: step.candidate.patchIds,
      pinned,
    }),
  );
  if (made) deps.ledger.hint('dispatch');
}

/**
 * Intent, push, settle. Dying before the push leaves an intent that the next round clears; dying after it, one that the
 * next round finds on the branch.
 */
async function land(scene: LandingScene, candidate: Candidate): Promise<boolean> {
  const { deps, lease, target, mirror, tip } = scene;
  const { commit: newCommit, treeId } = candidate;
  const tree = await mirror.treeOf(newCommit);
  if (tree !== treeId) throw new SluiceError('internal.error', `${newCommit} has the tree ${tree}, not ${treeId}`);
  const patches = [{ patch_id: candidate.patchIds[0]!, commit: newCommit, tree }];
  const proofs = candidate.proofs.filter(({ gate }) => !gate.advisory);
  const intentId = await deps.ledger.write((tx) =>
    openIntent(tx, lease, { targetId: target.target_id, oldTip: tip.commit, newCommit, treeId, patches, proofs }),
  );
  if (intentId === undefined) return true;
  const answer = await pushByCompareAndSwap(mirror, { branch: target.branch, oldTip: tip.commit, newCommit });
  // Whatever the answer was, the branch knows best.
  const newTip = await mirror.fetchTip(target.branch);
  await settleOpenIntent({ deps, lease, target, mirror, tip: newTip });
  await verifyApplied({ deps, lease, target, mirror, tip: newTip });
  if (newTip.commit !== tip.commit) {
    scene.pushFaults.count = 0;
    return true;
  }
  await noteFailedPush(scene, answer);
  return false;
}

/** The branch did not move. A plain no pauses at once; faults are tried again each round, a few times. */
async function noteFailedPush(scene: LandingScene, answer: PushAnswer): Promise<void> {
  const { deps, target, pushFaults } = scene;
  pushFaults.count += 1;
  const words = answer.kind === 'refused' || answer.kind === 'unknown' ? answer.words : 'the branch could not be moved';
  deps.log.warn({ targetId: target.target_id, words, faults: pushFaults.count }, 'push.failed');
  if (answer.kind !== 'refused' && pushFaults.count < MAX_PUSH_FAULTS) return;
  pushFaults.count = 0;
  const reason =
    answer.kind === 'refused' ? `the remote refused the push: ${words}` : `pushing keeps failing: ${words}`;
  await deps.ledger.write((tx) => pauseTarget(tx, { targetId: target.target_id, actor: 'coordinator', reason }));
  deps.log.error({ targetId: target.target_id, words }, 'target.paused');
}

function hintTasks({ deps }: LandingScene): void {
  deps.ledger.hint('dispatch');
  deps.ledger.hint('roll-up');
}
