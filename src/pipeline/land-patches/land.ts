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
  // Whatever the answer was, the branch knows best.
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

/** What only the whole branch can be refused for, in the words of git and of hosting services. */
const ABOUT_THE_BRANCH =
  /protected branch|checked out|not allowed to (push|update)|permission|denied|read.?only|frozen|code.?freeze|branch is locked|GH006|archived|deletion prohibited/i;

/**
 * The remote refused a push. It may be for what one of its patches holds, so the push is divided like a red batch. A patch
 * that is refused by itself lets others go first: when one of them lands it is the culprit, when one is refused as well the
 * remote takes nothing and the target is paused. True when the next round may do something else.
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
      `the remote refused one push after another (also ${others}, to be requeued by hand): ${words}`,
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

/** The branch did not move, and the remote did not say no: tried again each round, a few times. */
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
