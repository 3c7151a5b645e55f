import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import type { GateDefinition } from '../contract/policy.ts';
import type { ConfinementKind } from '../contract/states.ts';
import { GATE_OUTCOMES, GATE_STATES, type GateOutcome, type GateState } from '../contract/states.ts';
import { auditColumns, inList, instant, jsonObject, textArray } from './columns.ts';
import { Task } from './task.ts';
import { Worker } from './worker.ts';

export const TestGate = defineEntity({
  name: 'TestGate',
  tableName: 'test_gates',
  checks: [
    { name: 'test_gates_state_known', expression: inList('state', GATE_STATES) },
    { name: 'test_gates_timeout', expression: 'timeout_seconds > 0' },
    { name: 'test_gates_passed_exit', expression: "state <> 'PASSED' or (exit_code is not null and exit_code = 0)" },
    {
      name: 'test_gates_failed_outcome',
      expression: `state <> 'FAILED' or (outcome is not null and ${inList('outcome', GATE_OUTCOMES)})`,
    },
    { name: 'test_gates_worker_runs', expression: "worker_id is null or state = 'RUNNING'" },
  ],
  indexes: [
    { name: 'test_gates_task', properties: ['task_id'] },
    { name: 'test_gates_run', properties: ['run_id', 'gate_id'] },
    { name: 'test_gates_state', properties: ['state', 'gate_id'] },
    { name: 'test_gates_worker', properties: ['worker_id'] },
    { name: 'test_gates_claimed_by', properties: ['claimed_by'] },
    { name: 'test_gates_target', properties: ['target_id', 'created_at'] },
    {
      name: 'test_gates_completed_at',
      expression: 'create index test_gates_completed_at on test_gates (completed_at) where completed_at is not null',
    },
    { name: 'test_gates_patches', expression: 'create index test_gates_patches on test_gates using gin (patch_ids)' },
    { name: 'test_gates_proof', properties: ['tree_id', 'digest'] },
    {
      name: 'test_gates_one_live',
      expression:
        "create unique index test_gates_one_live on test_gates (tree_id, digest) where state in ('PENDING', 'RUNNING', 'BLOCKED')",
    },
  ],
  properties: {
    gate_id: p.text().primary(),
    task_id: () =>
      p
        .manyToOne(Task)
        .mapToPk()
        .fieldName('task_id')
        .deleteRule('cascade')
        .index(false)
        .foreignKeyName('test_gates_task_fk'),
    worker_id: () =>
      p
        .manyToOne(Worker)
        .mapToPk()
        .fieldName('worker_id')
        .nullable()
        .deleteRule('set null')
        .index(false)
        .foreignKeyName('test_gates_worker_fk'),
    run_id: p.text().nullable(),
    target_id: p.text().nullable(),
    state: p.text().$type<GateState>().default('PENDING'),
    outcome: p.text().$type<GateOutcome>().nullable(),
    reason: p.text().nullable(),
    test_suite: p.text().default(''),
    timeout_seconds: p.integer().default(600),
    exit_code: p.integer().nullable(),
    test_results: jsonObject().nullable(),
    definition: p.json().$type<GateDefinition>().nullable(),
    pool: p.text().default('default'),
    digest: p.text().nullable(),
    tree_id: p.text().nullable(),
    tip_commit: p.text().nullable(),
    patch_ids: textArray().defaultRaw(`'{}'`),
    pinned: p.boolean().default(false),
    advisory: p.boolean().default(false),
    /** `confinement`: how it was isolated from the machine when it ran. */
    confinement: p.text().$type<ConfinementKind>().nullable(),
    /** `claimed_by`: the worker that ran it, which may be gone; empty if it passed before this column existed. */
    claimed_by: p.text().nullable(),
    attempt: p.integer().default(0),
    dispatch: p.integer().default(0),
    dispatched_at: instant().nullable(),
    lease_expires_at: instant().nullable(),
    started_at: instant().nullable(),
    completed_at: instant().nullable(),
    version: p.integer().default(1),
    ...auditColumns,
  },
});
export type TestGateRow = InferEntity<typeof TestGate>;
