import { sql, type Tx } from '../database/database.ts';

interface Refused {
  id: string;
  attempt: number;
  workerId: string;
}

/**
 * Counts endings that a fence refused. Endings of work that was cancelled or withdrawn do not count: its worker was
 * told to end it and reports the result.
 */
export async function countRefusedEndings(tx: Tx, endings: readonly Refused[]): Promise<void> {
  if (endings.length === 0) return;
  const breaches = await tx.query<{ worker_id: string }>(sql`
    select e.worker_id
    from unnest(${endings.map(({ id }) => id)}::text[], ${endings.map(({ attempt }) => attempt)}::int[],
                ${endings.map(({ workerId }) => workerId)}::text[]) as e(id, attempt, worker_id)
    where not exists (
        select 1 from tasks t where t.task_id = e.id and t.attempt = e.attempt and t.state = 'CANCELLED')
      and not exists (
        select 1 from test_gates g where g.gate_id = e.id and g.attempt = e.attempt and g.outcome = 'withdrawn')`);
  await countRefused(
    tx,
    breaches.map(({ worker_id }) => worker_id),
  );
}

/** Counts writes that a fence refused, on the row of the worker that tried them. */
export async function countRefused(tx: Tx, workerIds: readonly string[]): Promise<void> {
  if (workerIds.length === 0) return;
  await tx.query(sql`
    update workers w set refused_writes = w.refused_writes + r.n, updated_at = now()
    from (select worker_id, count(*)::int as n from unnest(${[...workerIds]}::text[]) as worker_id group by worker_id) r
    where w.worker_id = r.worker_id`);
}
