import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { type Outcome, TASK_STATES, type TaskState } from '../contract/states.ts';
import { auditColumns, inList, instant, jsonObject, textArray } from './columns.ts';
import { Worker } from './worker.ts';
import { Workstream } from './workstream.ts';

export const Task = defineEntity({
  name: 'Task',
  tableName: 'tasks',
  checks: [
    { name: 'tasks_state_known', expression: inList('state', TASK_STATES) },
    { name: 'tasks_counts', expression: 'retry_count >= 0 and max_retries >= 0 and attempt >= 0 and dispatch >= 0' },
    { name: 'tasks_retries', expression: 'retry_count <= max_retries' },
    { name: 'tasks_worker_runs', expression: "worker_id is null or state = 'RUNNING'" },
    {
      name: 'tasks_budget',
      expression: 'cost_usd = abs(cost_usd) and (budget_usd is null or budget_usd = abs(budget_usd))',
    },
    { name: 'tasks_queue_timeout', expression: 'queue_timeout_seconds is null or queue_timeout_seconds > 0' },
  ],
  indexes: [
    { name: 'tasks_workstream', properties: ['workstream_id'] },
    { name: 'tasks_worker', properties: ['worker_id'] },
    { name: 'tasks_state', properties: ['state', 'task_id'] },
    {
      name: 'tasks_pending',
      expression: "create index tasks_pending on tasks (workstream_id, task_id) where state = 'PENDING'",
    },
    { name: 'tasks_created_at', expression: 'create index tasks_created_at on tasks (created_at desc)' },
    { name: 'tasks_run', properties: ['run_id', 'task_id'] },
    { name: 'tasks_tool', properties: ['tool', 'task_id'] },
    {
      name: 'tasks_to_admit',
      expression:
        "create index tasks_to_admit on tasks (pool, ranked_at, task_id) where state = 'QUEUED' and dispatched_at is null",
    },
    {
      name: 'tasks_queue_expiry',
      expression:
        "create index tasks_queue_expiry on tasks (queue_expires_at) where state = 'QUEUED' and queue_expires_at is not null",
    },
    {
      name: 'tasks_completed_at',
      expression: 'create index tasks_completed_at on tasks (completed_at) where completed_at is not null',
    },
    {
      name: 'tasks_in_flight',
      expression:
        "create index tasks_in_flight on tasks (tool, dispatched_at) where state = 'RUNNING' or (state = 'QUEUED' and dispatched_at is not null)",
    },
    {
      name: 'tasks_to_roll_up',
      expression:
        "create index tasks_to_roll_up on tasks (task_id) where not rolled_up and state in ('COMPLETED', 'FAILED', 'CANCELLED')",
    },
    {
      name: 'tasks_to_retry',
      expression: "create index tasks_to_retry on tasks (available_at) where state = 'RETRYING'",
    },
  ],
  properties: {
    task_id: p.text().primary(),
    workstream_id: () =>
      p
        .manyToOne(Workstream)
        .mapToPk()
        .fieldName('workstream_id')
        .deleteRule('cascade')
        .index(false)
        .foreignKeyName('tasks_workstream_fk'),
    worker_id: () =>
      p
        .manyToOne(Worker)
        .mapToPk()
        .fieldName('worker_id')
        .nullable()
        .deleteRule('set null')
        .index(false)
        .foreignKeyName('tasks_worker_fk'),
    run_id: p.text().nullable(),
    target_id: p.text().nullable(),
    state: p.text().$type<TaskState>().default('PENDING'),
    outcome: p.text().$type<Outcome>().nullable(),
    reason: p.text().nullable(),
    evidence: jsonObject().nullable(),
    name: p.text().default(''),
    position: p.integer().default(0),
    tool: p.text().default('command'),
    pool: p.text().default('default'),
    input: jsonObject().defaultRaw(`'{}'::jsonb`),
    scope: textArray().nullable(),
    message: p.text().nullable(),
    timeout_seconds: p.integer().nullable(),
    priority: p.integer().default(0),
    open_dependencies: p.integer().default(0),
    retry_count: p.integer().default(0),
    max_retries: p.integer().default(3),
    interruptions: p.integer().default(0),
    /** `worker_deaths`: workers that hung or crashed while they ran it. */
    worker_deaths: p.integer().default(0),
    attempt: p.integer().default(0),
    dispatch: p.integer().default(0),
    dispatched_at: instant().nullable(),
    lease_expires_at: instant().nullable(),
    available_at: instant().nullable(),
    /** `ranked_at`: its place among waiting tasks: first queue time − 60 s × priority. A retry keeps it. */
    ranked_at: instant().nullable(),
    queue_timeout_seconds: p.integer().nullable(),
    queue_expires_at: instant().nullable(),
    /** `budget_usd`, `cost_usd`: what its attempts may cost, and have cost. */
    budget_usd: p.double().$type<number>().nullable(),
    cost_usd: p.double().$type<number>().default(0),
    /**
     * `costed_attempts`: attempts whose cost is in `cost_usd`. Each is counted once, even if a fence refused its
     * result.
     */
    costed_attempts: p.array().columnType('int[]').$type<number[]>().defaultRaw(`'{}'`),
    /** `failure_fingerprint`: of the last failure; null if it had no words of the tool to compare. */
    failure_fingerprint: p.text().nullable(),
    exit_code: p.integer().nullable(),
    base_commit: p.text().nullable(),
    landed_commit: p.text().nullable(),
    rolled_up: p.boolean().default(false),
    queued_at: instant().nullable(),
    started_at: instant().nullable(),
    completed_at: instant().nullable(),
    version: p.integer().default(1),
    ...auditColumns,
  },
});
export type TaskRow = InferEntity<typeof Task>;
