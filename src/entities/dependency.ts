import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';
import { Task } from './task.ts';
import { Workstream } from './workstream.ts';

/**
 * `task_id` waits until `depends_on_id` is COMPLETED, so that its patch has landed. `satisfied_at` is set once and
 * never cleared.
 */
export const TaskDependency = defineEntity({
  name: 'TaskDependency',
  tableName: 'task_dependencies',
  indexes: [{ name: 'task_dependencies_reverse', properties: ['depends_on_id'] }],
  properties: {
    task_id: () =>
      p
        .manyToOne(Task)
        .mapToPk()
        .fieldName('task_id')
        .primary()
        .deleteRule('cascade')
        .updateRule('no action')
        .index(false)
        .foreignKeyName('task_dependencies_task_fk'),
    depends_on_id: () =>
      p
        .manyToOne(Task)
        .mapToPk()
        .fieldName('depends_on_id')
        .primary()
        .deleteRule('cascade')
        .updateRule('no action')
        .index(false)
        .foreignKeyName('task_dependencies_on_fk'),
    satisfied_at: instant().nullable(),
  },
});

export const WorkstreamDependency = defineEntity({
  name: 'WorkstreamDependency',
  tableName: 'workstream_dependencies',
  indexes: [{ name: 'workstream_dependencies_reverse', properties: ['depends_on_id'] }],
  properties: {
    workstream_id: () =>
      p
        .manyToOne(Workstream)
        .mapToPk()
        .fieldName('workstream_id')
        .primary()
        .deleteRule('cascade')
        .updateRule('no action')
        .index(false)
        .foreignKeyName('workstream_dependencies_workstream_fk'),
    depends_on_id: () =>
      p
        .manyToOne(Workstream)
        .mapToPk()
        .fieldName('depends_on_id')
        .primary()
        .deleteRule('cascade')
        .updateRule('no action')
        .index(false)
        .foreignKeyName('workstream_dependencies_on_fk'),
    satisfied_at: instant().nullable(),
  },
});

export type TaskDependencyRow = InferEntity<typeof TaskDependency>;
export type WorkstreamDependencyRow = InferEntity<typeof WorkstreamDependency>;
