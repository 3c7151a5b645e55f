import { sql, type Tx } from '../database/database.ts';

/** Counts writes that a fence refused, on the row of the worker that tried them. */
export async function countRefused(tx: Tx, workerIds: readonly string[]): Promise<void> {
  if (workerIds.length === 0) return;
  await tx.query(sql`
    update workers w set refused_writes = w.refused_writes + r.n, updated_at = now()
    from (select worker_id, count(*)::int as n from unnest(${[...workerIds]}::text[]) as worker_id group by worker_id) r
    where w.worker_id = r.worker_id`);
}
