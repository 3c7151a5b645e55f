import { SluiceError } from '../../contract/errors.ts';
import { type Order, signed } from '../../contract/order.ts';
import type { ReasonName } from '../../contract/reasons.ts';
import type { PatchState } from '../../contract/states.ts';
import { sql, type Tx } from '../../database/database.ts';
import { UNLANDED_PATCH_STATES } from '../../domain/lifecycles/patch.ts';
import { mayBeApproved } from '../../domain/path-rules.ts';
import { sendBack } from '../attempts/attempts.ts';
import { assertNotLanding, cancelTask } from '../runs/cancel.ts';
import { reopenForPatch } from '../runs/retry.ts';
import { KEEP_DETAIL, recordNote, transition } from '../transition.ts';

/** An operator's order about one patch. */
export interface PatchOrder extends Order {
  patchId: string;
}

interface SteeredPatch {
  patch_id: string;
  task_id: string;
  run_id: string | null;
  state: PatchState;
  reason: string | null;
  commit_id: string | null;
}

/** Sets the priority of a STAGED patch; a higher priority lands first. Throws `state.changed` in any other state. */
export async function prioritizePatch(tx: Tx, order: PatchOrder & { priority: number }): Promise<void> {
  const patch = await lock(tx, order.patchId);
  if (patch.state !== 'STAGED') throw notIn(patch, 'STAGED');
  await tx.query(sql`
    update patches set priority = ${order.priority}, updated_at = now() where patch_id = ${order.patchId}`);
  await note(tx, patch, order, { reason: 'prioritized', detail: { priority: order.priority } });
  await lookAfresh(tx, patch.patch_id);
}

/**
 * Moves a patch BLOCKED→STAGED, behind patches of the same priority, and its task back to VALIDATING. Earlier red runs
 * no longer count against it.
 */
export async function requeuePatch(tx: Tx, order: PatchOrder): Promise<void> {
  const patch = await lock(tx, order.patchId);
  if (patch.state !== 'BLOCKED') throw notIn(patch, 'BLOCKED');
  await stageAgain(tx, patch, order);
}

/**
 * Waives the waivable rules for exactly this content: protected paths, limits, the second proof of pinned paths. A
 * patch that was stopped goes back to the landing queue.
 */
export async function approvePatch(tx: Tx, order: PatchOrder): Promise<void> {
  const patch = await lock(tx, order.patchId);
  if (patch.state === 'QUARANTINED' && !mayBeApproved(patch)) {
    throw new SluiceError(
      'state.changed',
      `patch ${patch.patch_id} is QUARANTINED (${patch.reason}) and cannot be approved: submit a corrected one`,
      {
        facts: { patch_id: patch.patch_id, reason: patch.reason },
      },
    );
  }
  if (!['QUARANTINED', 'BLOCKED', 'STAGED'].includes(patch.state)) throw notIn(patch, 'QUARANTINED, BLOCKED or STAGED');
  await tx.query(sql`
    update patches set approved_at = now(), approved_by = ${order.actor}, updated_at = now()
    where patch_id = ${order.patchId}`);
  await note(tx, patch, order, { reason: 'approved' });
  await lookAfresh(tx, patch.patch_id);
  if (patch.state !== 'STAGED') await stageAgain(tx, patch, order);
}

/** Expires a patch that has not landed and fails its task. A PENDING patch is dropped by cancelling its task. */
export async function dropPatch(tx: Tx, order: PatchOrder): Promise<void> {
  const patch = await lock(tx, order.patchId);
  // No worker has made a commit of the patch yet: cancel the task, so that none will.
  if (patch.state === 'PENDING') {
    await cancelTask(tx, patch.task_id, { actor: order.actor, reason: order.reason });
    return;
  }
  const [dropped] = await transition(tx, {
    kind: 'patch',
    from: UNLANDED_PATCH_STATES,
    to: 'EXPIRED',
    ids: [order.patchId],
    reason: 'dropped',
    detail: { reason: order.reason },
    actor: signed(order).actor,
    set: KEEP_DETAIL,
  });
  if (dropped === undefined) throw notIn(patch, UNLANDED_PATCH_STATES.join(', '));
  const evidence = { patch_id: order.patchId, reason: order.reason };
  await sendBack(tx, { taskId: patch.task_id, reason: 'patch_dropped', evidence, mayRetry: false });
}

async function stageAgain(tx: Tx, patch: SteeredPatch, order: PatchOrder): Promise<void> {
  await reopenForPatch(tx, patch.task_id, order);
  await lookAfresh(tx, patch.patch_id);
  const move = { kind: 'patch', ids: [patch.patch_id], ...signed(order) } as const;
  const set = sql`, staged_at = now(), evidence = null`;
  if (patch.state === 'BLOCKED') {
    await transition(tx, { ...move, from: ['BLOCKED'], to: 'STAGED', set });
  } else {
    await transition(tx, { ...move, from: ['QUARANTINED'], via: ['VALIDATING'], to: 'STAGED', set });
  }
  // A STAGED patch must not show the reason of its last stop.
  await tx.query(sql`update patches set reason = null where patch_id = ${patch.patch_id}`);
}

/** Makes the coordinator fetch the branch again, because the operator may just have pushed to it. */
async function lookAfresh(tx: Tx, patchId: string): Promise<void> {
  await tx.query(sql`
    update targets set steered_at = now(), updated_at = now()
    where target_id = (select target_id from patches where patch_id = ${patchId})`);
  tx.wake('landing');
}

/** Locks a patch. Throws `entity.not_found`, and `patch.landing` while an intent names it or it is not yet verified. */
async function lock(tx: Tx, patchId: string): Promise<SteeredPatch> {
  await assertNotLanding(tx, sql`p.patch_id = ${patchId}`, 'patch.landing');
  const [patch] = await tx.query<SteeredPatch>(sql`
    select patch_id, task_id, run_id, state, reason, commit_id from patches where patch_id = ${patchId} for update`);
  if (patch === undefined) throw new SluiceError('entity.not_found', `there is no patch ${patchId}`);
  return patch;
}

function note(
  tx: Tx,
  { patch_id: id, run_id: runId, state }: SteeredPatch,
  order: PatchOrder,
  { reason, detail = {} }: { reason: ReasonName; detail?: object },
): Promise<void> {
  const { actor } = signed(order);
  return recordNote(tx, {
    kind: 'patch',
    id,
    runId,
    state,
    reason,
    actor,
    detail: { reason: order.reason, ...detail },
  });
}

function notIn(patch: SteeredPatch, wanted: string): SluiceError {
  return new SluiceError('state.changed', `patch ${patch.patch_id} is ${patch.state}, not ${wanted}`, {
    facts: { patch_id: patch.patch_id, state: patch.state },
  });
}
