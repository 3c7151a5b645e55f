import type { PatchRow } from '../../entities/patch.ts';
import { noteLostPatch, verifyPatches } from '../../ledger/landing/intents.ts';
import { pauseTarget } from '../../ledger/landing/targets.ts';
import type { SettledScene } from './landing-round.ts';

/**
 * Reads back what was pushed: the commit must be the tip or below it and have the tested tree. Otherwise the target is
 * paused until an operator has looked.
 */
export async function verifyApplied(scene: SettledScene): Promise<void> {
  const { deps, lease, target } = scene;
  const applied = await deps.daos.patches.findBy({ target_id: target.target_id, state: 'APPLIED' });
  const verified: string[] = [];
  for (const patch of applied) {
    const fault = await faultOf(scene, patch);
    if (fault === undefined) {
      verified.push(patch.patch_id);
    } else {
      const reason = `patch ${patch.patch_id}: ${fault}`;
      await deps.ledger.write(async (tx) => {
        await noteLostPatch(tx, lease, patch.patch_id);
        await pauseTarget(tx, { targetId: target.target_id, actor: 'verify', reason });
      });
      if (target.paused_at === null) deps.log.error({ targetId: target.target_id, reason }, 'target.paused');
    }
  }
  if (verified.length === 0) return;
  await deps.ledger.write((tx) => verifyPatches(tx, lease, verified));
  deps.log.info({ targetId: target.target_id, patchIds: verified, tip: scene.tip.commit }, 'patches.landed');
}

async function faultOf({ mirror, tip }: SettledScene, patch: PatchRow): Promise<string | undefined> {
  const commit = patch.landed_commit!;
  if (!(await mirror.contains(tip.commit, commit))) {
    return `its commit ${commit} is no longer on the branch`;
  }
  const tree = await mirror.treeOf(commit);
  return tree === patch.landed_tree
    ? undefined
    : `its commit has the tree ${tree}, not the tested ${patch.landed_tree}`;
}
