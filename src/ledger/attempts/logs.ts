import { sql, type Tx } from '../../database/database.ts';
import { storableJson } from '../../lib/storable.ts';
import { countRefused } from '../refused-writes.ts';

export interface NewLogChunk {
  task_id: string;
  gate_id: string | null;
  attempt: number;
  worker_id: string;
  stream: 'stdout' | 'stderr' | 'sluice';
  text: string;
}

/**
 * Appends the output of attempts that run, or that were cancelled, in order. Refuses output of older
 * attempts and of deleted tasks or gates.
 */
export async function appendLogs(tx: Tx, chunks: readonly NewLogChunk[]): Promise<void> {
  if (chunks.length === 0) return;
  const refused = await tx.query<{ worker_id: string }>(sql`
    with wanted as (
      select c.*, case when c.gate_id is null then exists (
          select 1 from tasks t where t.task_id = c.task_id and t.attempt = c.attempt
            and (t.state = 'CANCELLED' or (t.state = 'RUNNING' and t.worker_id = c.worker_id))
        ) else exists (
          select 1 from test_gates g where g.gate_id = c.gate_id and g.task_id = c.task_id and g.attempt = c.attempt
            and (g.outcome = 'withdrawn' or (g.state = 'RUNNING' and g.worker_id = c.worker_id))
        ) end as allowed
      from rows from (jsonb_to_recordset(${storableJson(chunks)}::jsonb)
        as (task_id text, gate_id text, attempt int, worker_id text, stream text, text text)) with ordinality
        as c(task_id, gate_id, attempt, worker_id, stream, text, position)
    ), appended as (
      insert into log_chunks (task_id, gate_id, attempt, stream, text)
      select task_id, gate_id, attempt, stream, text from wanted where allowed order by position
    )
    select worker_id from wanted where not allowed`);
  await countRefused(
    tx,
    refused.map(({ worker_id }) => worker_id),
  );
}
