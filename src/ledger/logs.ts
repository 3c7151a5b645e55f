import { sql, type Tx } from '../database/database.ts';
import { storableJson } from '../lib/storable.ts';

export interface NewLogChunk {
  task_id: string;
  gate_id: string | null;
  attempt: number;
  stream: 'stdout' | 'stderr' | 'sluice';
  text: string;
}

/** Appends in order. Chunks of a task or gate that was deleted meanwhile are dropped. */
export async function appendLogs(tx: Tx, chunks: readonly NewLogChunk[]): Promise<void> {
  if (chunks.length === 0) return;
  await tx.query(sql`
    insert into log_chunks (task_id, gate_id, attempt, stream, text)
    select c.task_id, c.gate_id, c.attempt, c.stream, c.text
    from rows from (jsonb_to_recordset(${storableJson(chunks)}::jsonb)
      as (task_id text, gate_id text, attempt int, stream text, text text)) with ordinality
      as c(task_id, gate_id, attempt, stream, text, position)
    where exists (select 1 from tasks t where t.task_id = c.task_id)
      and (c.gate_id is null or exists (select 1 from test_gates g where g.gate_id = c.gate_id))
    order by c.position`);
}
