import { selectIds, sql, type Tx } from '../../database/database.ts';
import { terminalStates } from '../../domain/lifecycle.ts';
import { MOVING_PATCH_STATES } from '../../domain/lifecycles/patch.ts';

/** Rows that one call deletes at most, so that its locks are short. */
const BATCH = 1_000;
const OUTPUT_BATCH = 5_000;

/** Result of one batch: rows (of runs: runs) that it deleted, and whether there may be more. */
export interface Pruned {
  deleted: number;
  more: boolean;
}

/** Deletes output that is older than `days`. Reads the oldest rows only: chunk ids follow time. */
export async function pruneLogs(tx: Tx, days: number): Promise<Pruned> {
  const deleted = await tx.query(sql`
    delete from log_chunks where chunk_id in (
      select chunk_id from (select chunk_id, created_at from log_chunks order by chunk_id limit ${BATCH}) as oldest
      where created_at < ${daysAgo(days)})
    returning chunk_id`);
  return fullOrLast(deleted.length);
}

/**
 * Deletes audit rows that are older than `days`, from the id `after` on. Keeps those of green executions: together with
 * intents and verdicts they prove what landed when the run is gone. `next` is where to go on, undefined at the end.
 */
export async function pruneEvents(
  tx: Tx,
  { days, after }: { days: number; after: string },
): Promise<{ deleted: number; next: string | undefined }> {
  const [looked] = await tx.query<{ last: string | null; n: number; deleted: number }>(sql`
    with oldest as (
      select * from (
        select transition_id, created_at, kind = 'gate' and to_state = 'PASSED' as proves from state_transitions
        where transition_id > ${after}::bigint order by transition_id limit ${BATCH}) as batch
      where created_at < ${daysAgo(days)}
    ), deleted as (
      delete from state_transitions where transition_id in (select transition_id from oldest where not proves)
    )
    select max(transition_id)::text as last, count(*)::int as n,
           count(*) filter (where not proves)::int as deleted
    from oldest`);
  const { last, n, deleted } = looked!;
  return { deleted, next: n === BATCH ? last! : undefined };
}

/**
 * Deletes the oldest runs that ended more than `days` ago, with everything below them. What they landed stays proven by
 * its intents and verdicts. A large run goes a batch of tasks at a time.
 */
export async function pruneRuns(tx: Tx, days: number): Promise<Pruned> {
  // Selects the oldest ended runs that nothing waits for any more (index `runs_created_at`).
  const old = await selectIds(
    tx,
    sql`select r.run_id as id from runs r
        where r.state = any (${terminalStates('run')}::text[]) and r.completed_at < ${daysAgo(days)}
          and r.created_at < ${daysAgo(days)}
          and not exists (
            select 1 from patches p
            where p.run_id = r.run_id and p.state = any (${[...MOVING_PATCH_STATES]}::text[]))
        order by r.created_at limit 20 for update of r skip locked`,
  );
  if (old.length === 0) return { deleted: 0, more: false };
  const tasks = await selectIds(
    tx,
    sql`select t.task_id as id from unnest(${old}::text[]) as run(id)
        cross join lateral (select task_id from tasks where run_id = run.id limit ${BATCH}) t limit ${BATCH}`,
  );
  // Their output first, a batch at a time: a task may have millions of lines.
  const chunks = await tx.query(sql`
    delete from log_chunks where chunk_id in (
      select chunk_id from log_chunks where task_id = any (${tasks}::text[]) limit ${OUTPUT_BATCH})
    returning chunk_id`);
  if (chunks.length === OUTPUT_BATCH) return { deleted: 0, more: true };
  await tx.query(sql`delete from tasks where task_id = any (${tasks}::text[])`);
  if (tasks.length === BATCH) return { deleted: 0, more: true };
  await tx.query(sql`delete from runs where run_id = any (${old}::text[])`);
  return { deleted: old.length, more: true };
}

/** Deletes deliveries to webhooks that are older than `days` and will not be sent again. Their ids follow time. */
export async function pruneDeliveries(tx: Tx, days: number): Promise<Pruned> {
  const deleted = await tx.query(sql`
    delete from webhook_deliveries where delivery_id in (
      select delivery_id from (
        select delivery_id, created_at, outcome from webhook_deliveries order by delivery_id limit ${BATCH}) as oldest
      where created_at < ${daysAgo(days)} and outcome <> 'pending')
    returning delivery_id`);
  return fullOrLast(deleted.length);
}

/**
 * Deletes rows of workers that ended more than `days` ago, except those whose gate executions are still here: a verdict
 * counts only by a worker that lived at that time.
 */
export async function pruneWorkers(tx: Tx, days: number): Promise<Pruned> {
  const deleted = await tx.query(sql`
    delete from workers where worker_id in (
      select worker_id from workers w
      where state = any (${terminalStates('worker')}::text[]) and stopped_at < ${daysAgo(days)}
        and not exists (select 1 from test_gates g where g.claimed_by = w.worker_id)
      order by worker_id limit ${BATCH} for update skip locked)
    returning worker_id`);
  return fullOrLast(deleted.length);
}

function fullOrLast(deleted: number): Pruned {
  return { deleted, more: deleted === BATCH };
}

function daysAgo(days: number): ReturnType<typeof sql> {
  return sql`now() - make_interval(days => ${days}::int)`;
}
