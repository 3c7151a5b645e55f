import { type Order, signed } from '../../contract/order.ts';
import type { Reason } from '../../contract/reasons.ts';
import type { PatchState } from '../../contract/states.ts';
import { selectIds, sql, type Tx } from '../../database/database.ts';
import { isMendable } from '../../domain/mendable.ts';
import { awaitsApproval, WAITS_FOR_APPROVAL } from '../../domain/path-rules.ts';
import { completeTasks, sendBack } from '../attempts/attempts.ts';
import { assertLease, type HeldLease } from '../leases.ts';
import { KEEP_DETAIL, transition } from '../transition.ts';
import { unpauseTarget } from './targets.ts';

const ACTOR = 'coordinator';
/** Reason on a landed patch whose commit was removed from the branch before it was verified. */
export const REMOVED = 'removed_from_branch' satisfies Reason;
/** SQL condition of every other transition: a patch that an intent names may be moved only by settling the intent. */
export const NOT_LANDING = sql`and t.intent_id is null`;

interface PatchAtTip {
  patchId: string;
  /** Tip of the branch at which the coordinator decided. */
  tip: string;
}

/** Moves a patch STAGED→SUPERSEDED because the branch already holds the change, and completes its task. */
export async function supersedeLandedElsewhere(tx: Tx, lease: HeldLease, patch: PatchAtTip): Promise<void> {
  const taskId = await leaveQueue(tx, lease, { ...patch, to: 'SUPERSEDED', reason: 'already_on_branch' });
  if (taskId === undefined) return;
  await tx.query(sql`update tasks set landed_commit = ${patch.tip}, updated_at = now() where task_id = ${taskId}`);
  await completeTasks(tx, [taskId], 'already_on_branch');
}

/** Moves a patch STAGED→EXPIRED because its gates are green and its run must not land, and completes its task. */
export async function concludeUnlanded(tx: Tx, lease: HeldLease, patch: PatchAtTip): Promise<void> {
  const taskId = await leaveQueue(tx, lease, { ...patch, to: 'EXPIRED', reason: 'proven_not_to_land' });
  if (taskId !== undefined) await completeTasks(tx, [taskId], 'proven_not_to_land');
}

/** Moves a STAGED patch out of the landing queue. Returns its task, or undefined when the patch is not STAGED. */
async function leaveQueue(
  tx: Tx,
  lease: HeldLease,
  { patchId, tip, to, reason }: PatchAtTip & { to: 'SUPERSEDED' | 'EXPIRED'; reason: Reason },
): Promise<string | undefined> {
  await assertLease(tx, lease);
  const moved = await transition(tx, {
    kind: 'patch',
    from: ['STAGED'],
    to,
    ids: [patchId],
    reason,
    detail: { tip },
    actor: ACTOR,
    set: KEEP_DETAIL,
    where: NOT_LANDING,
  });
  return moved.length === 0 ? undefined : taskOf(tx, patchId);
}

/**
 * Resumes landing on a target by order of an operator. Patches that were removed from the branch before they were
 * verified become ROLLED_BACK and their tasks FAILED, because they would otherwise stay APPLIED for ever.
 */
export async function resumeTarget(tx: Tx, { targetId, ...order }: Order & { targetId: string }): Promise<void> {
  const { actor } = signed(order);
  const ids = await selectIds(
    tx,
    sql`select patch_id as id from patches where target_id = ${targetId} and state = 'APPLIED' and reason = ${REMOVED}`,
  );
  await transition(tx, { kind: 'patch', from: ['APPLIED'], to: 'ROLLED_BACK', ids, reason: REMOVED, actor });
  for (const patchId of ids) {
    const evidence = { patch_id: patchId, reason: order.reason };
    await sendBack(tx, { taskId: await taskOf(tx, patchId), reason: REMOVED, evidence, mayRetry: false });
  }
  await unpauseTarget(tx, targetId);
}

/** SQL condition of patches whose time to land runs: they are in the queue, or wait for an approval. */
export const WAITS_TO_LAND = sql`(state = 'STAGED' or (state = 'QUARANTINED' and reason = ${WAITS_FOR_APPROVAL}))
  and state in ('STAGED', 'QUARANTINED') and intent_id is null`;

/**
 * Expires patches that wait for their landing or for an approval and whose deadline to land has passed, and fails their
 * tasks. Returns how many expired.
 */
export async function expireOverdue(tx: Tx): Promise<number> {
  const overdue = await tx.query<{ patch_id: string; expires_at: string }>(sql`
    select patch_id, expires_at from patches
    where ${WAITS_TO_LAND} and expires_at < now() order by expires_at limit 500`);
  const expired = await transition(tx, {
    kind: 'patch',
    from: ['STAGED', 'QUARANTINED'],
    to: 'EXPIRED',
    rows: overdue.map(({ patch_id, expires_at }) => ({ id: patch_id, reason: 'too_old', detail: { expires_at } })),
    actor: 'patch-expiry',
    set: KEEP_DETAIL,
    where: NOT_LANDING,
  });
  for (const { id } of expired) {
    const taskId = await taskOf(tx, id);
    await sendBack(tx, { taskId, reason: 'patch_expired', evidence: { patch_id: id }, mayRetry: false });
  }
  return expired.length;
}

/**
 * Moves a patch STAGED→BLOCKED because of a gate or a conflict, or STAGED→QUARANTINED because the policy at the tip
 * forbids it as it would land. Its task gets the evidence, and retries if another attempt may help.
 */
export async function stopPatch(
  tx: Tx,
  lease: HeldLease,
  stop: {
    patchId: string;
    to: 'BLOCKED' | 'QUARANTINED';
    reason: Reason;
    evidence: Readonly<Record<string, unknown>>;
    mayRetry: boolean;
  },
): Promise<void> {
  await assertLease(tx, lease);
  const { patchId, to, reason, mayRetry } = stop;
  const moved = await transition(tx, {
    kind: 'patch',
    from: ['STAGED'],
    to,
    ids: [patchId],
    reason,
    detail: stop.evidence,
    actor: ACTOR,
    where: NOT_LANDING,
    set: sql`, evidence = w.detail`,
  });
  if (moved.length === 0) return;
  const [patch] = await tx.query<{ state: PatchState; reason: string; commit_id: string | null; task_id: string }>(sql`
    select state, reason, commit_id, task_id from patches where patch_id = ${patchId}`);
  if (awaitsApproval(patch!)) return;
  const evidence = { patch_id: patchId, reason, ...stop.evidence };
  const why: Reason = to === 'BLOCKED' ? `patch_blocked:${reason}` : 'patch_quarantined';
  const retries = mayRetry && isMendable(reason);
  await sendBack(tx, { taskId: patch!.task_id, reason: why, evidence, mayRetry: retries });
}

async function taskOf(tx: Tx, patchId: string): Promise<string> {
  const [patch] = await tx.query<{ task_id: string }>(sql`select task_id from patches where patch_id = ${patchId}`);
  return patch!.task_id;
}
