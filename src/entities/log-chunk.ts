import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';
import { Task } from './task.ts';
import { TestGate } from './test-gate.ts';

/** A piece of the output of a task's tool (`gate_id` null) or of a gate, in order of `chunk_id`. */
export const LogChunk = defineEntity({
  name: 'LogChunk',
  tableName: 'log_chunks',
  indexes: [
    { name: 'log_chunks_task', properties: ['task_id', 'chunk_id'] },
    { name: 'log_chunks_gate', properties: ['gate_id', 'chunk_id'] },
  ],
  properties: {
    chunk_id: p.bigint('string').primary().autoincrement(),
    task_id: () =>
      p
        .manyToOne(Task)
        .mapToPk()
        .fieldName('task_id')
        .deleteRule('cascade')
        .index(false)
        .foreignKeyName('log_chunks_task_fk'),
    gate_id: () =>
      p
        .manyToOne(TestGate)
        .mapToPk()
        .fieldName('gate_id')
        .nullable()
        .deleteRule('cascade')
        .index(false)
        .foreignKeyName('log_chunks_gate_fk'),
    attempt: p.integer(),
    stream: p.text().$type<'stdout' | 'stderr' | 'sluice'>(),
    text: p.text(),
    created_at: instant().defaultRaw('now()'),
  },
});
export type LogChunkRow = InferEntity<typeof LogChunk>;
