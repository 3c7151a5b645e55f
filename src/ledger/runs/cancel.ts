import { SluiceError } from '../../contract/errors.ts';
import { type Actor, type Order, signed } from '../../contract/order.ts';
import type { Reason } from '../../contract/reasons.ts';
import { selectIds, sql, type Tx } from '../../database/database.ts';
import { liveStates } from '../../domain/lifecycle.ts';
import { UNLANDED_PATCH_STATES } from '../../domain/lifecycles/patch.ts';
import { KEEP_DETAIL, transition } from '../transition.ts';
import { cancelDependants } from './dependants.ts';

type Note = Pick<Order, 'actor'> & { reason?: string | undefined };

/** Pauses a run: no more of its tasks are dispatched. Running tasks finish, and staged patches still land. */
export async function pauseRun(tx: Tx, runId: string, order: Note): Promise<void> {
  const moved = await transition(tx, {
    kind: 'run',
    from: ['RUNNING'],
    to: 'PAUSED',
    ids: [runId],
    ...signed(order),
    reason: signed(order).reason ?? 'paused',
  });
  if (moved.length === 0) throw await notIn(tx, runId, 'RUNNING');
}

export async function resumeRun(tx: Tx, runId: string, order: Note): Promise<void> {
  const moved = await transition(tx, { kind: 'run', from: ['PAUSED'], to: 'RUNNING', ids: [runId], ...signed(order) });
  if (moved.length === 0) throw await notIn(tx, runId, 'PAUSED');
  // Restart the queue timeout, so that the pause does not count as waiting time.
  await tx.query(sql`
    update tasks set queue_expires_at = now() + make_interval(secs => queue_timeout_seconds), updated_at = now()
    where run_id = ${runId} and state = 'QUEUED' and queue_timeout_seconds is not null`);
}

/**
 * Ends a run as FAILED with the reason `cancelled`, and cancels its workstreams, tasks and patches that have not ended.
 * Throws `run.landing` while one of its patches is between intent and verification.
 */
export async function cancelRun(tx: Tx, runId: string, order: Note): Promise<void> {
  const { actor } = signed(order);
  await assertNotLanding(tx, sql`p.run_id = ${runId}`, 'run.landing');
  const moved = await transition(tx, {
    kind: 'run',
    from: ['INITIALIZING', 'RUNNING', 'PAUSED'],
    to: 'FAILED',
    ids: [runId],
    reason: 'cancelled',
    detail: { reason: order.reason },
    actor,
  });
  if (moved.length === 0) throw await notIn(tx, runId, 'INITIALIZING, RUNNING or PAUSED');
  const tasks = await selectIds(
    tx,
    sql`select task_id as id from tasks where run_id = ${runId} and state = any (${liveStates('task')}::text[])`,
  );
  const cancelled = await transition(tx, {
    kind: 'task',
    from: liveStates('task'),
    to: 'CANCELLED',
    ids: tasks,
    reason: 'cancelled',
    actor,
  });
  await expirePatches(tx, { taskIds: cancelled.map(({ id }) => id), reason: 'cancelled', actor });
  await cancelWorkstreams(tx, runId, actor);
}

/**
 * Cancels the older live runs with the same key if this run supersedes them. Throws `run.landing` while a patch of one
 * of them is being landed, because that landing must finish first.
 */
export async function cancelSuperseded(tx: Tx, runId: string): Promise<void> {
  const older = await tx.query<{ run_id: string }>(sql`
    select o.run_id from runs r join runs o on o.concurrency_key = r.concurrency_key
    where r.run_id = ${runId} and r.supersede and (r.supersedes_others or o.submitted_by = r.submitted_by)
      and (o.key_since, o.run_id) < (r.key_since, r.run_id)
      and o.state = any (${liveStates('run')}::text[])
    order by o.key_since, o.run_id`);
  for (const { run_id } of older) {
    await cancelRun(tx, run_id, { actor: 'scheduler', reason: `superseded by ${runId}` });
  }
}

async function cancelWorkstreams(tx: Tx, runId: string, actor: Actor): Promise<void> {
  const ids = await selectIds(
    tx,
    sql`select workstream_id as id from workstreams
        where run_id = ${runId} and state = any (${liveStates('workstream')}::text[])`,
  );
  await transition(tx, {
    kind: 'workstream',
    from: liveStates('workstream'),
    to: 'CANCELLED',
    ids,
    reason: 'cancelled',
    actor,
  });
}

/** Cancels one task, its unlanded patches and its dependants. Throws `patch.landing` while a patch of it is landing. */
export async function cancelTask(tx: Tx, taskId: string, order: Note): Promise<void> {
  const { actor } = signed(order);
  await assertNotLanding(tx, sql`p.task_id = ${taskId}`, 'patch.landing');
  const [moved] = await transition(tx, {
    kind: 'task',
    from: liveStates('task'),
    to: 'CANCELLED',
    ids: [taskId],
    reason: 'cancelled',
    detail: { reason: order.reason },
    actor,
  });
  if (moved === undefined) {
    const [task] = await tx.query<{ state: string }>(sql`select state from tasks where task_id = ${taskId}`);
    if (task === undefined) throw new SluiceError('entity.not_found', `there is no task ${taskId}`);
    throw new SluiceError(
      'state.changed',
      `task ${taskId} is ${task.state}: only a task that has not ended can be cancelled`,
      { facts: { state: task.state } },
    );
  }
  await expirePatches(tx, { taskIds: [taskId], reason: 'cancelled', actor });
  await cancelDependants(tx, [taskId]);
}

export async function expirePatches(
  tx: Tx,
  { taskIds, reason, actor }: { taskIds: readonly string[]; reason: Reason; actor: Actor },
): Promise<void> {
  const ids = await selectIds(
    tx,
    sql`select patch_id as id from patches
        where task_id = any (${[...taskIds]}::text[]) and state = any (${[...UNLANDED_PATCH_STATES]}::text[])`,
  );
  await transition(tx, {
    kind: 'patch',
    from: UNLANDED_PATCH_STATES,
    to: 'EXPIRED',
    ids,
    reason,
    detail: { cancelled_by: actor },
    actor,
    where: sql`and t.intent_id is null`,
    set: KEEP_DETAIL,
  });
  // A patch may have been staged and named by an intent since the first check: throw, to roll everything back.
  await assertNotLanding(tx, sql`p.task_id = any (${[...taskIds]}::text[])`, 'patch.landing');
}

/**
 * Throws `code` while one of the patches is between intent and VERIFIED. Locks the patches, so that no intent for them
 * can be written before the caller's transaction ends.
 */
export async function assertNotLanding(
  tx: Tx,
  which: ReturnType<typeof sql>,
  code: 'run.landing' | 'patch.landing',
): Promise<void> {
  const patches = await tx.query<{ patch_id: string; state: string; intent_id: string | null }>(sql`
    select p.patch_id, p.state, p.intent_id from patches p where ${which} order by p.patch_id for update`);
  const landing = patches.find(
    ({ state, intent_id }) => state === 'APPLIED' || (state === 'STAGED' && intent_id !== null),
  );
  if (landing === undefined) return;
  throw new SluiceError(code, `patch ${landing.patch_id} is being landed: wait until that has ended, then try again`, {
    retryable: true,
    facts: { patch_id: landing.patch_id },
  });
}

async function notIn(tx: Tx, runId: string, wanted: string): Promise<SluiceError> {
  const [run] = await tx.query<{ state: string }>(sql`select state from runs where run_id = ${runId}`);
  if (run === undefined) return new SluiceError('entity.not_found', `there is no run ${runId}`);
  return new SluiceError('state.changed', `run ${runId} is ${run.state}, not ${wanted}`, {
    facts: { state: run.state },
  });
}
