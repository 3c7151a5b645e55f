import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { type Outcome, WORKSTREAM_STATES, type WorkstreamState } from '../contract/states.ts';
import { auditColumns, inList, instant } from './columns.ts';
import { Run } from './run.ts';

export const Workstream = defineEntity({
  name: 'Workstream',
  tableName: 'workstreams',
  checks: [
    { name: 'workstreams_state_known', expression: inList('state', WORKSTREAM_STATES) },
    { name: 'workstreams_progress_range', expression: 'progress_percentage >= 0 and progress_percentage <= 100' },
  ],
  indexes: [
    { name: 'workstreams_run', properties: ['run_id'] },
    { name: 'workstreams_state', properties: ['state', 'workstream_id'] },
    {
      name: 'workstreams_starting',
      expression: 'create index workstreams_starting on workstreams (workstream_id) where starting',
    },
    {
      name: 'workstreams_to_roll_up',
      expression:
        "create index workstreams_to_roll_up on workstreams (workstream_id) where not rolled_up and state in ('COMPLETED', 'FAILED', 'CANCELLED', 'ABANDONED')",
    },
  ],
  properties: {
    workstream_id: p.text().primary(),
    run_id: () =>
      p
        .manyToOne(Run)
        .mapToPk()
        .fieldName('run_id')
        .deleteRule('cascade')
        .index(false)
        .foreignKeyName('workstreams_run_fk'),
    state: p.text().$type<WorkstreamState>().default('PENDING'),
    outcome: p.text().$type<Outcome>().nullable(),
    reason: p.text().nullable(),
    progress_percentage: p.integer().default(0),
    name: p.text().default(''),
    position: p.integer().default(0),
    critical: p.boolean().default(true),
    open_dependencies: p.integer().default(0),
    tasks_total: p.integer().default(0),
    tasks_ended: p.integer().default(0),
    tasks_failed: p.integer().default(0),
    tasks_cancelled: p.integer().default(0),
    /** True while it is RUNNING and has PENDING tasks that are to be queued. */
    starting: p.boolean().default(false),
    rolled_up: p.boolean().default(false),
    started_at: instant().nullable(),
    completed_at: instant().nullable(),
    version: p.integer().default(1),
    ...auditColumns,
  },
});
export type WorkstreamRow = InferEntity<typeof Workstream>;
