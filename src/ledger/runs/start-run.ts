import type { ErrorCode } from '../../contract/errors.ts';
import { selectIds, sql, type Tx } from '../../database/database.ts';
import { transition } from '../transition.ts';

const ACTOR = 'scheduler';

/** Moves a run INITIALIZING→RUNNING and starts its workstreams. Does nothing when the run is no longer INITIALIZING. */
export async function startRun(tx: Tx, runId: string): Promise<void> {
  const started = await transition(tx, {
    kind: 'run',
    from: ['INITIALIZING'],
    to: 'RUNNING',
    ids: [runId],
    actor: ACTOR,
    set: sql`, started_at = coalesce(t.started_at, now())`,
  });
  if (started.length === 0) return;
  const workstreams = await tx.query<{ workstream_id: string; open_dependencies: number }>(sql`
    select workstream_id, open_dependencies from workstreams where run_id = ${runId} order by workstream_id`);
  const waiting = workstreams.filter(({ open_dependencies }) => open_dependencies > 0);
  await transition(tx, {
    kind: 'workstream',
    from: ['PENDING'],
    to: 'BLOCKED',
    ids: waiting.map(({ workstream_id }) => workstream_id),
    reason: 'dependency',
    actor: ACTOR,
  });
  const free = workstreams.filter(({ open_dependencies }) => open_dependencies === 0);
  await startWorkstreams(tx, { from: 'PENDING', ids: free.map(({ workstream_id }) => workstream_id) });
}

/** Fails an INITIALIZING run because the target's tip or policy cannot be read, and cancels everything in it. */
export async function refuseRun(
  tx: Tx,
  { runId, reason, detail }: { runId: string; reason: ErrorCode; detail: Record<string, unknown> },
): Promise<void> {
  const refused = await transition(tx, {
    kind: 'run',
    from: ['INITIALIZING'],
    to: 'FAILED',
    ids: [runId],
    reason,
    detail,
    actor: ACTOR,
    set: sql`, evidence = ${JSON.stringify(detail)}::jsonb`,
  });
  if (refused.length === 0) return;
  const tasks = await selectIds(tx, sql`select task_id as id from tasks where run_id = ${runId}`);
  await transition(tx, {
    kind: 'task',
    from: ['PENDING'],
    to: 'CANCELLED',
    ids: tasks,
    reason,
    actor: ACTOR,
    set: sql`, rolled_up = true`,
  });
  const workstreams = await selectIds(tx, sql`select workstream_id as id from workstreams where run_id = ${runId}`);
  await transition(tx, {
    kind: 'workstream',
    from: ['PENDING'],
    to: 'ABANDONED',
    ids: workstreams,
    reason,
    actor: ACTOR,
    set: sql`, rolled_up = true`,
  });
}

/** Moves workstreams without open dependencies to RUNNING and queues their first tasks. */
export async function startWorkstreams(
  tx: Tx,
  { from, ids }: { from: 'PENDING' | 'BLOCKED'; ids: readonly string[] },
): Promise<void> {
  const move = { kind: 'workstream', ids, actor: ACTOR, to: 'RUNNING' } as const;
  const set = sql`, started_at = coalesce(t.started_at, now()), starting = true`;
  await (from === 'PENDING'
    ? transition(tx, { ...move, from: ['PENDING'], via: ['INITIALIZING'], set })
    : transition(tx, { ...move, from: ['BLOCKED'], set }));
  await queueStartedTasks(tx);
}

/** Tasks that one transaction queues: its locks must not last long, and its statement must not time out. */
const START_BATCH = 2_000;

/**
 * Queues a batch of tasks of workstreams that have started: PENDING→QUEUED, or BLOCKED where a dependency is open. The
 * indexes workstreams_starting and tasks_pending serve it. Returns true when there may be more. May be repeated at any
 * time, by any process.
 */
export async function queueStartedTasks(tx: Tx): Promise<boolean> {
  const starting = await selectIds(
    tx,
    sql`select workstream_id as id from workstreams where starting and state = 'RUNNING'
        order by workstream_id limit 100 for update skip locked`,
  );
  if (starting.length === 0) return false;
  const tasks = await tx.query<{ task_id: string; open_dependencies: number }>(sql`
    select t.task_id, t.open_dependencies
    from unnest(${starting}::text[]) as w(id)
    cross join lateral (
      select task_id, open_dependencies from tasks
      where workstream_id = w.id and state = 'PENDING' order by task_id limit ${START_BATCH}
    ) t
    limit ${START_BATCH}`);
  const idsWhere = (isOpen: boolean): string[] =>
    tasks.filter(({ open_dependencies }) => open_dependencies > 0 === isOpen).map(({ task_id }) => task_id);
  // Each condition is checked again under the row's lock: a dependency may complete at this moment.
  const move = { kind: 'task', from: ['PENDING'], actor: ACTOR } as const;
  const blocked = await transition(tx, {
    ...move,
    to: 'BLOCKED',
    ids: idsWhere(true),
    reason: 'dependency',
    where: sql`and t.open_dependencies > 0`,
  });
  const queued = await transition(tx, {
    ...move,
    to: 'QUEUED',
    ids: idsWhere(false),
    where: sql`and t.open_dependencies = 0`,
  });
  if (tasks.length === START_BATCH || blocked.length + queued.length < tasks.length) {
    tx.wake('start-runs');
    return true;
  }
  await tx.query(sql`
    update workstreams set starting = false, updated_at = now() where workstream_id = any (${starting}::text[])`);
  return false;
}

/** Moves tasks PENDING→QUEUED; from then on the dispatcher sees them. */
export async function queueTasks(tx: Tx, ids: readonly string[]): Promise<void> {
  await transition(tx, {
    kind: 'task',
    from: ['PENDING'],
    to: 'QUEUED',
    ids,
    actor: ACTOR,
  });
}
