import { sql, type Tx } from '../../database/database.ts';
import { capacity, DISPATCHED, type DispatchedKind, handBackAll } from '../attempts/admission.ts';
import { cancelDependants } from '../runs/dependants.ts';
import { queueTasks } from '../runs/start-run.ts';
import { RECONCILER, recordRepairs, transition } from '../transition.ts';

/** A dispatch whose queue message was probably lost. */
export interface LostDispatch {
  kind: DispatchedKind;
  id: string;
  dispatch: number;
}

/** A slot counts as busy for this long after its task or gate ended, because the worker frees it after that write. */
const CLEANED_UP = sql`interval '10 seconds'`;
/** A pool that began something within this time is working. Messages in a queue may overtake each other by as much. */
const QUIET = sql`interval '2 seconds'`;

/**
 * Returns dispatches older than `olderThanMs` and unclaimed although their pool has a free slot, if either the pool
 * neither began nor ended anything lately or something dispatched later is running already. Judges by the ledger alone.
 */
export async function suspectLostDispatches(tx: Tx, olderThanMs: number): Promise<LostDispatch[]> {
  const suspects: LostDispatch[] = [];
  for (const kind of ['task', 'gate'] as const) {
    const pools = (await capacity(tx, kind)).filter(({ free }) => free > 0).map(({ pool }) => pool);
    if (pools.length === 0) continue;
    const { table, key, waiting } = DISPATCHED[kind];
    // Selects the unclaimed rows by the partial index `tasks_in_flight`, or by `test_gates_state` for gates.
    const rows = await tx.query<Omit<LostDispatch, 'kind'>>(sql`
      select ${key} as id, t.dispatch from ${table} t
      where t.state = ${waiting} and t.pool = any (${pools}::text[])
        and t.dispatched_at < now() - make_interval(secs => ${olderThanMs / 1000}::float8)
        -- Separate subqueries for started_at and completed_at: with one "or" the planner uses neither index.
        and (not exists (select 1 from ${table} r
                         where r.pool = t.pool and r.state = 'RUNNING' and r.started_at > now() - ${QUIET})
             and not exists (select 1 from ${table} r
                             where r.pool = t.pool and r.completed_at > now() - ${CLEANED_UP})
             or exists (select 1 from ${table} r
                        where r.state = 'RUNNING' and r.pool = t.pool and r.dispatched_at > t.dispatched_at + ${QUIET}))`);
    suspects.push(...rows.map((row) => ({ kind, ...row })));
  }
  return suspects;
}

/** Lets the dispatcher send them again under a new dispatch number, so that the claim of a late message is refused. */
export async function forgetDispatches(tx: Tx, lost: readonly LostDispatch[]): Promise<number> {
  let forgotten = 0;
  for (const kind of ['task', 'gate'] as const) {
    const rows = await handBackAll(
      tx,
      kind,
      lost.filter((dispatch) => dispatch.kind === kind),
    );
    await recordRepairs(tx, { kind, cause: 'dispatch_lost', rows });
    forgotten += rows.length;
  }
  return forgotten;
}

/**
 * Takes back dispatches to a pool without workers, because they hold concurrency of their tool and repository that
 * other tasks can use. Not recorded as a repair, because nothing is broken. A late claim of the message is refused.
 */
export async function takeBackFromLeftPools(tx: Tx, olderThanMs: number): Promise<number> {
  let taken = 0;
  for (const kind of ['task', 'gate'] as const) {
    const left = (await capacity(tx, kind)).filter(({ slots }) => slots === 0).map(({ pool }) => pool);
    if (left.length === 0) continue;
    const { table, key, waiting } = DISPATCHED[kind];
    const stranded = await tx.query<{ id: string; dispatch: number }>(sql`
      select ${key} as id, t.dispatch from ${table} t
      where t.state = ${waiting} and t.pool = any (${left}::text[])
        and t.dispatched_at < now() - make_interval(secs => ${olderThanMs / 1000}::float8)`);
    taken += (await handBackAll(tx, kind, stranded)).length;
  }
  return taken;
}

/** Fails tasks QUEUED past their queue timeout (index `tasks_queue_expiry`). Tasks of paused runs do not time out. */
export async function expireQueued(tx: Tx): Promise<number> {
  const late = await tx.query<{ task_id: string }>(sql`
    select t.task_id from tasks t join runs r on r.run_id = t.run_id
    where t.state = 'QUEUED' and t.queue_expires_at < now() and r.state = 'RUNNING' order by t.task_id limit 1000`);
  const ids = late.map(({ task_id }) => task_id);
  const where = sql`and t.queue_expires_at < now()`;
  const failed = await transition(tx, {
    kind: 'task',
    from: ['QUEUED'],
    to: 'FAILED',
    ids,
    reason: 'queue_timeout',
    actor: 'queue-timeout',
    where,
  });
  if (failed.length > 0) {
    await cancelDependants(
      tx,
      failed.map(({ id }) => id),
    );
  }
  return failed.length;
}

/**
 * Recounts workstreams and runs whose counters disagree with their rows although every row has been rolled up. Returns
 * how many it corrected; the next roll-up ends them.
 */
export async function recountRollUps(tx: Tx): Promise<number> {
  const workstreams = await tx.query<{ id: string; run_id: string; state: string }>(sql`
    with counted as (
      select w.workstream_id, count(*)::int as ended, count(*) filter (where t.state = 'FAILED')::int as failed,
             count(*) filter (where t.state = 'CANCELLED')::int as cancelled
      from workstreams w join tasks t on t.workstream_id = w.workstream_id
      where w.state = 'RUNNING'
      group by w.workstream_id, w.tasks_ended, w.tasks_total
      having bool_and(t.rolled_up) and (w.tasks_ended <> count(*) or w.tasks_total <> count(*))
    )
    update workstreams w
    set tasks_total = c.ended, tasks_ended = c.ended, tasks_failed = c.failed, tasks_cancelled = c.cancelled, updated_at = now()
    from counted c where w.workstream_id = c.workstream_id
    returning w.workstream_id as id, w.run_id, w.state`);
  await recordRepairs(tx, { kind: 'workstream', cause: 'roll_up_stuck', rows: workstreams });
  const runs = await tx.query<{ id: string; run_id: string; state: string }>(sql`
    with counted as (
      select r.run_id, count(*)::int as ended,
             count(*) filter (where w.critical and w.state <> 'COMPLETED')::int as critical_failed
      from runs r join workstreams w on w.run_id = r.run_id
      where r.state = 'RUNNING'
      group by r.run_id, r.workstreams_ended, r.workstreams_total
      having bool_and(w.rolled_up) and (r.workstreams_ended <> count(*) or r.workstreams_total <> count(*))
    )
    update runs r
    set workstreams_total = c.ended, workstreams_ended = c.ended, critical_failed = c.critical_failed, updated_at = now()
    from counted c where r.run_id = c.run_id
    returning r.run_id as id, r.run_id, r.state`);
  await recordRepairs(tx, { kind: 'run', cause: 'roll_up_stuck', rows: runs });
  return workstreams.length + runs.length;
}

/** Queues BLOCKED tasks whose dependencies are all COMPLETED, whatever their counter says. */
export async function unblockOverlooked(tx: Tx): Promise<number> {
  const overlooked = await tx.query<{ task_id: string }>(sql`
    select t.task_id from tasks t join workstreams w on w.workstream_id = t.workstream_id
    where t.state = 'BLOCKED' and w.state = 'RUNNING'
      and not exists (
        select 1 from task_dependencies d join tasks p on p.task_id = d.depends_on_id
        where d.task_id = t.task_id and p.state <> 'COMPLETED')
    order by t.task_id limit 1000`);
  const unblocked = await transition(tx, {
    kind: 'task',
    from: ['BLOCKED'],
    to: 'PENDING',
    ids: overlooked.map(({ task_id }) => task_id),
    reason: 'dependency_overlooked',
    actor: RECONCILER,
    set: sql`, open_dependencies = 0`,
  });
  const ids = unblocked.map(({ id }) => id);
  await tx.query(sql`
    update task_dependencies set satisfied_at = now() where task_id = any (${ids}::text[]) and satisfied_at is null`);
  await queueTasks(tx, ids);
  return ids.length;
}

/** Deletes tool starts outside the window of their rate limit, and tool costs older than 90 days. */
export async function pruneToolUse(tx: Tx): Promise<void> {
  await tx.query(sql`delete from tool_costs where day < (now() at time zone 'UTC')::date - 90`);
  await tx.query(sql`
    delete from tool_starts s
    where not exists (
      select 1 from circuit_breakers b
      where b.tool_name = s.tool_name and s.started_at > now() - make_interval(secs => b.rate_per_seconds))`);
}
