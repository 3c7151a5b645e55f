import { SluiceError } from '../../contract/errors.ts';
import type { LandingStep } from '../../domain/landing/planner.ts';
import { type PushAnswer, pushByCompareAndSwap } from '../../git/push.ts';
import { openIntent } from '../../ledger/landing.ts';
import { pauseTarget } from '../../ledger/targets.ts';
import type { LandingScene } from './coordinator.ts';
import { settleOpenIntent } from './settle.ts';
import { verifyApplied } from './verify.ts';

const MAX_PUSH_FAULTS = 5;

/**
 * Intent, push, settle, verify. Dying before the push leaves an intent that the next round clears; dying after it, one that
 * the next round finds on the branch. True when the branch moved or the plan was out of date.
 */
export async function land(
  scene: LandingScene,
  { candidate, proofs }: Extract<LandingStep, { kind: 'land' }>,
): Promise<boolean> {
  const { deps, lease, target, mirror, tip, policy } = scene;
  const { commit: newCommit } = candidate.commits.at(-1)!;
  const tree = await mirror.treeOf(newCommit);
  if (tree !== candidate.treeId) {
    throw new SluiceError('internal.error', `${newCommit} has the tree ${tree}, not ${candidate.treeId}`);
  }
  await deps.crashPoint('before-intent');
  const intentId = await deps.ledger.write((tx) =>
    openIntent(tx, lease, {
      targetId: target.target_id,
      oldTip: tip.commit,
      newCommit,
      treeId: tree,
      prove: policy.landing.prove,
      patches: candidate.commits.map(({ patchId, ...commit }) => ({ patch_id: patchId, ...commit })),
      proofs: proofs.map(({ treeId, digest, gate }) => ({ tree: treeId, digest, gate: gate.name })),
    }),
  );
  if (intentId === undefined) return true;
  await deps.crashPoint('before-push');
  const answer = await pushByCompareAndSwap(mirror, { branch: target.branch, oldTip: tip.commit, newCommit });
  await deps.crashPoint('after-push');
  // Whatever the answer was, the branch knows best.
  const newTip = await mirror.fetchTip(target.branch);
  await settleOpenIntent({ deps, lease, target, mirror, tip: newTip });
  await deps.crashPoint('after-settle');
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
