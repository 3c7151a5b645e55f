import { SluiceError } from '../../contract/errors.ts';
import { gateMeaning } from '../../domain/gates-in-force.ts';
import type { LandingStep } from '../../domain/landing/planner.ts';
import { type PushAnswer, pushByCompareAndSwap } from '../../git/push.ts';
import { openIntent } from '../../ledger/landing/intents.ts';
import { pauseTarget } from '../../ledger/landing/targets.ts';
import type { LandingScene } from './landing-round.ts';
import { settleOpenIntent } from './settle.ts';
import { othersLand } from './snapshot.ts';
import { stopPatchOf } from './stop-patch.ts';
import { verifyApplied } from './verify.ts';

const MAX_PUSH_FAULTS = 5;

/**
 * Writes the intent, pushes, settles, verifies. After a crash before the push the next round clears the intent; after a
 * crash after the push it finds the commit on the branch. True when the branch moved or the plan was out of date.
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
    openIntent(
      tx,
      { lease, seal: deps.seal },
      {
        targetId: target.target_id,
        oldTip: tip.commit,
        newCommit,
        treeId: tree,
        prove: policy.landing.prove,
        patches: candidate.commits.map(({ patchId, ...commit }) => ({ patch_id: patchId, ...commit })),
        proofs: proofs.map(({ treeId, digest, gate }) => ({
          tree: treeId,
          digest,
          meaning: gateMeaning(gate, policy.prepare),
          gate: gate.name,
          tolerance: scene.knowledge.toleranceOf(treeId, digest),
        })),
      },
    ),
  );
  if (intentId === undefined) return true;
  await deps.crashPoint('before-push');
  const answer = await pushByCompareAndSwap(mirror, { branch: target.branch, oldTip: tip.commit, newCommit });
  await deps.crashPoint('after-push');
  // Whatever the remote answered, only the branch tells whether the push arrived.
  const newTip = await mirror.fetchTip(target.branch);
  await settleOpenIntent({ deps, lease, target, mirror, tip: newTip });
  await deps.crashPoint('after-settle');
  await verifyApplied({ deps, lease, target, mirror, tip: newTip });
  if (newTip.commit !== tip.commit) {
    await blameSuspect(scene);
    Object.assign(scene.pushing, { faults: 0, limit: undefined, suspect: undefined });
    return true;
  }
  if (answer.kind === 'refused') return divide(scene, { patchIds: candidate.patchIds, words: answer.words });
  await noteFailedPush(scene, answer);
  return false;
}

/** Refusals that concern the whole branch and no single patch, in the words of git and of hosting services. */
const ABOUT_THE_BRANCH =
  /protected branch|checked out|not allowed to (push|update)|permission|denied|read.?only|frozen|code.?freeze|branch is locked|GH006|archived|deletion prohibited/i;

/**
 * Handles a refused push. The content of one patch may be the cause, so the push is halved like a red batch. After a
 * patch that is refused by itself, others are pushed: if one of them lands, the suspect is blocked; if one is refused
 * as well, the remote takes nothing and the target is paused. True when the next round may do something else.
 */
async function divide(
  scene: LandingScene,
  { patchIds, words }: { patchIds: readonly string[]; words: string },
): Promise<boolean> {
  const { deps, target, pushing } = scene;
  deps.log.warn({ targetId: target.target_id, patchIds, words }, 'push.refused');
  if (ABOUT_THE_BRANCH.test(words)) return pauseAll(scene, `the remote refused the push: ${words}`);
  if (patchIds.length > 1) {
    pushing.limit = Math.ceil(patchIds.length / 2);
    return true;
  }
  const patchId = patchIds[0]!;
  if (pushing.suspect !== undefined && pushing.suspect.patchId !== patchId) {
    return pauseAll(scene, `the remote refused one push after another: ${words}`);
  }
  if (othersLand(scene, patchId)) {
    pushing.suspect = { patchId, words };
    return true;
  }
  const before = await deps.daos.patches.findRefusedSinceLanding(target.target_id);
  if (before.length > 0) {
    const others = before.map(({ patch_id }) => patch_id).join(', ');
    return pauseAll(
      scene,
      `the remote refused one push after another (also ${others}; requeue by hand once the remote takes pushes): ${words}`,
    );
  }
  pushing.suspect = { patchId, words };
  await blameSuspect(scene);
  pushing.suspect = undefined;
  return true;
}

async function blameSuspect(scene: LandingScene): Promise<void> {
  const { suspect } = scene.pushing;
  if (suspect === undefined) return;
  const { patchId, words } = suspect;
  await stopPatchOf(scene, { kind: 'block', patchId, reason: 'push_refused', evidence: { words } });
}

async function pauseAll(scene: LandingScene, reason: string): Promise<false> {
  Object.assign(scene.pushing, { limit: undefined, suspect: undefined });
  await pause(scene, reason);
  return false;
}

/**
 * Counts a push that neither moved the branch nor was refused. It is retried each round, up to `MAX_PUSH_FAULTS` times
 * in a row; then the target is paused.
 */
async function noteFailedPush(scene: LandingScene, answer: PushAnswer): Promise<void> {
  const { deps, target, pushing } = scene;
  pushing.faults += 1;
  const words = answer.kind === 'unknown' ? answer.words : 'the branch could not be moved';
  deps.log.warn({ targetId: target.target_id, words, faults: pushing.faults }, 'push.failed');
  if (pushing.faults < MAX_PUSH_FAULTS) return;
  pushing.faults = 0;
  await pause(scene, `pushing keeps failing: ${words}`);
}

async function pause({ deps, target }: LandingScene, reason: string): Promise<void> {
  await deps.ledger.write((tx) => pauseTarget(tx, { targetId: target.target_id, actor: 'coordinator', reason }));
  deps.log.error({ targetId: target.target_id, reason }, 'target.paused');
}
