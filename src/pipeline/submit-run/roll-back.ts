import { SluiceError } from '../../contract/errors.ts';
import type { Daos } from '../../dao/all.ts';
import { isTerminal } from '../../domain/lifecycle.ts';
import { awaitsApproval } from '../../domain/path-rules.ts';
import type { PatchRow } from '../../entities/patch.ts';
import type { RunRow } from '../../entities/run.ts';
import type { Mirrors } from '../../git/mirrors.ts';
import { changesBetween } from '../../git/tree-changes.ts';
import { type SubmitRunDeps, submitRun } from './submit-run.ts';

export interface RollBackDeps {
  daos: Daos;
  mirrors: Mirrors;
  submit: SubmitRunDeps;
}

/** Lowest priority of a rollback: above what people usually give, so that it goes ahead of the queue. */
const AHEAD = 1_000;
const HIGHEST = 1_000_000;
const SUBJECT_CHARS = 200;

/**
 * Submits an ordinary run that reverts a landed patch, ahead of the queue and through the same gates. When it lands,
 * the patch is ROLLED_BACK. Throws `state.changed` when the patch has not landed, or is being reverted already.
 */
export async function rollBack(
  { daos, mirrors, submit }: RollBackDeps,
  { patchId, actor, reason }: { patchId: string; actor: string; reason: string },
): Promise<RunRow> {
  const patch = await daos.patches.get(patchId);
  const target = await daos.targets.get(patch.target_id!);
  await assertMayBeTakenBack(daos, patch);
  const landed = patch.landed_commit!;
  const mirror = mirrors.of(target.url);
  const tip = await mirror.fetchTip(target.branch);
  if (!(await mirror.has(landed)) || !(await mirror.isAncestor(landed, tip.commit))) {
    throw new SluiceError('state.changed', `its commit ${landed} is not on the branch any more`);
  }
  const { diff } = await changesBetween(mirror, landed, `${landed}^`);
  const queue = await daos.patches.findQueue(target.target_id, 1);
  const input = { format: 'git_patch', base: landed, content_base64: diff.toString('base64') };
  const message = `Revert "${patch.message.split('\n')[0]!.slice(0, SUBJECT_CHARS)}"\n\nThis reverts commit ${landed}.\n\n${reason}`;
  const { run } = await submitRun(submit, {
    spec: {
      name: 'rollback',
      labels: { rollback_of: patchId },
      repository: target.repository,
      branch: target.branch,
      priority: Math.min(HIGHEST, Math.max(AHEAD, (queue[0]?.priority ?? 0) + 1)),
      workstreams: [{ name: 'rollback', tasks: [{ name: 'revert', tool: 'patch', input, message }] }],
    },
    actor,
    outranks: true,
    revertsPatchId: patchId,
  });
  return run;
}

async function assertMayBeTakenBack(daos: Daos, patch: PatchRow): Promise<void> {
  if (patch.state !== 'VERIFIED' || patch.landed_commit == null) {
    throw new SluiceError('state.changed', `the patch is ${patch.state}, not VERIFIED`, {
      facts: { patch_id: patch.patch_id, state: patch.state },
    });
  }
  const reverts = await daos.patches.findBy({ reverts_patch_id: patch.patch_id });
  const running = reverts.find(
    (revert) =>
      awaitsApproval(revert) ||
      (!isTerminal('patch', revert.state) && revert.state !== 'BLOCKED' && revert.state !== 'QUARANTINED'),
  );
  if (running === undefined) return;
  throw new SluiceError('state.changed', `patch ${running.patch_id} already reverts it`, {
    facts: { patch_id: running.patch_id },
  });
}
