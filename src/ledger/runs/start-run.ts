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

/** Moves workstreams without open dependencies to RUNNING, and their tasks to QUEUED or BLOCKED. */
export async function startWorkstreams(
  tx: Tx,
  { from, ids }: { from: 'PENDING' | 'BLOCKED'; ids: readonly string[] },
): Promise<void> {
  const set = sql`, started_at = coalesce(t.started_at, now())`;
  const move = { kind: 'workstream', ids, actor: ACTOR } as const;
  if (from === 'PENDING') {
    await transition(tx, { ...move, from: ['PENDING'], to: 'INITIALIZING', set });
    await transition(tx, { ...move, from: ['INITIALIZING'], to: 'RUNNING' });
  } else {
    await transition(tx, { ...move, from: ['BLOCKED'], to: 'RUNNING', set });
  }
  const tasks = await tx.query<{ task_id: string; open_dependencies: number }>(sql`
    select task_id, open_dependencies from tasks
    where workstream_id = any (${[...ids]}::text[]) and state = 'PENDING' order by task_id`);
  const waiting = tasks.filter(({ open_dependencies }) => open_dependencies > 0);
  await transition(tx, {
    kind: 'task',
    from: ['PENDING'],
    to: 'BLOCKED',
    ids: waiting.map(({ task_id }) => task_id),
    reason: 'dependency',
    actor: ACTOR,
  });
  const free = tasks.filter(({ open_dependencies }) => open_dependencies === 0);
  await queueTasks(
    tx,
    free.map(({ task_id }) => task_id),
  );
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
