import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import type { GateDefinition } from '../contract/policy.ts';
import { type Outcome, RUN_STATES, type RunState } from '../contract/states.ts';
import { auditColumns, inList, instant, jsonObject } from './columns.ts';

export const Run = defineEntity({
  name: 'Run',
  tableName: 'runs',
  checks: [
    { name: 'runs_state_known', expression: inList('state', RUN_STATES) },
    { name: 'runs_progress_range', expression: 'progress_percentage >= 0 and progress_percentage <= 100' },
    {
      name: 'runs_budget',
      expression: 'cost_usd = abs(cost_usd) and (budget_usd is null or budget_usd = abs(budget_usd))',
    },
    { name: 'runs_concurrency', expression: 'concurrency_key is null or concurrency_max > 0' },
  ],
  indexes: [
    { name: 'runs_state', properties: ['state', 'run_id'] },
    { name: 'runs_created_at', expression: 'create index runs_created_at on runs (created_at desc)' },
    { name: 'runs_target', properties: ['target_id'] },
    { name: 'runs_name', properties: ['name', 'run_id'] },
    {
      name: 'runs_completed_at',
      expression: 'create index runs_completed_at on runs (completed_at) where completed_at is not null',
    },
    {
      name: 'runs_holding_key',
      expression:
        "create index runs_holding_key on runs (concurrency_key, key_since, run_id) where concurrency_key is not null and state in ('INITIALIZING', 'RUNNING', 'PAUSED')",
    },
  ],
  properties: {
    run_id: p.text().primary(),
    state: p.text().$type<RunState>().default('INITIALIZING'),
    outcome: p.text().$type<Outcome>().nullable(),
    reason: p.text().nullable(),
    evidence: jsonObject().nullable(),
    progress_percentage: p.integer().default(0),
    name: p.text().default(''),
    target_id: p.text().nullable(),
    priority: p.integer().default(0),
    labels: p.json().$type<Record<string, string>>().defaultRaw(`'{}'::jsonb`),
    extra_gates: p.json().$type<GateDefinition[]>().defaultRaw(`'[]'::jsonb`),
    /** `land`: false if its patches are tested and never landed. */
    land: p.boolean().default(true),
    /**
     * `concurrency_key`: the run dispatches only while fewer than `concurrency_max` older live runs have the same key.
     */
    concurrency_key: p.text().nullable(),
    concurrency_max: p.integer().nullable(),
    /**
     * `key_since`: when it requested the key. A run that is reopened requests it anew and waits behind newer holders.
     */
    key_since: instant().defaultRaw('now()'),
    /** `supersede`: true if older runs with its key are cancelled when it starts. */
    supersede: p.boolean().default(false),
    budget_usd: p.double().$type<number>().nullable(),
    cost_usd: p.double().$type<number>().default(0),
    idempotency_key: p.text().nullable().unique('runs_idempotency_key'),
    spec_digest: p.text().nullable(),
    submitted_by: p.text().nullable(),
    supersedes_others: p.boolean().default(true),
    expires_at: instant().nullable(),
    workstreams_total: p.integer().default(0),
    workstreams_ended: p.integer().default(0),
    critical_failed: p.integer().default(0),
    tasks_total: p.integer().default(0),
    tasks_ended: p.integer().default(0),
    started_at: instant().nullable(),
    completed_at: instant().nullable(),
    version: p.integer().default(1),
    ...auditColumns,
  },
});
export type RunRow = InferEntity<typeof Run>;
