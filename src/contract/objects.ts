import { z } from 'zod';
import { PATCH_FORMATS } from './patch-input.ts';
import { gateSchema } from './policy.ts';
import {
  BREAKER_STATES,
  CONFINEMENT_KINDS,
  DELIVERY_OUTCOMES,
  GATE_OUTCOMES,
  GATE_STATES,
  OUTCOMES,
  PATCH_STATES,
  RUN_STATES,
  TASK_STATES,
  WORKER_STATES,
  WORKSTREAM_STATES,
} from './states.ts';

/**
 * The objects of the API: columns of their tables under the same names, and `id`. Each schema lists what is public, so
 * a new column stays private until it is added here. Times are RFC 3339 in UTC.
 */
export const instant = z.iso.datetime();
export const facts = z.record(z.string(), z.unknown());
const count = z.int();
const usd = z.number();

const common = { id: z.string(), created_at: instant, updated_at: instant, metadata: facts };
const ending = { reason: z.string().nullable() };
const span = { started_at: instant.nullable(), completed_at: instant.nullable() };

export const workstreamObject = z
  .strictObject({
    ...common,
    run_id: z.string(),
    name: z.string(),
    position: count,
    critical: z.boolean(),
    state: z.enum(WORKSTREAM_STATES),
    outcome: z.enum(OUTCOMES).nullable(),
    ...ending,
    progress_percentage: count,
    open_dependencies: count,
    tasks_total: count,
    tasks_ended: count,
    tasks_failed: count,
    tasks_cancelled: count,
    ...span,
  })
  .meta({ id: 'Workstream' });

export const taskObject = z
  .strictObject({
    ...common,
    run_id: z.string(),
    workstream_id: z.string(),
    target_id: z.string(),
    worker_id: z.string().nullable(),
    name: z.string(),
    position: count,
    tool: z.string(),
    pool: z.string(),
    state: z.enum(TASK_STATES),
    outcome: z.enum(OUTCOMES).nullable(),
    ...ending,
    evidence: facts.nullable(),
    scope: z.array(z.string()).nullable(),
    message: z.string().nullable(),
    priority: count,
    open_dependencies: count,
    timeout_seconds: count.nullable(),
    queue_timeout_seconds: count.nullable(),
    attempt: count,
    retry_count: count,
    max_retries: count,
    interruptions: count,
    worker_deaths: count,
    budget_usd: usd.nullable(),
    cost_usd: usd,
    exit_code: count.nullable(),
    base_commit: z.string().nullable(),
    landed_commit: z.string().nullable(),
    queued_at: instant.nullable(),
    queue_expires_at: instant.nullable(),
    dispatched_at: instant.nullable(),
    available_at: instant.nullable(),
    ...span,
  })
  .meta({ id: 'Task' });

/** A task by itself; lists leave `input` out because it may hold a whole diff. */
export const wholeTaskObject = taskObject.extend({ input: facts }).meta({ id: 'WholeTask' });

export const patchObject = z
  .strictObject({
    ...common,
    run_id: z.string(),
    task_id: z.string(),
    target_id: z.string(),
    attempt: count,
    state: z.enum(PATCH_STATES),
    ...ending,
    evidence: facts.nullable(),
    file_path: z.string().nullable(),
    paths: z.array(z.string()),
    patch_format: z.enum(PATCH_FORMATS),
    size_bytes: count.nullable(),
    binary: z.boolean(),
    scope: z.array(z.string()).nullable(),
    priority: count,
    land: z.boolean(),
    message: z.string(),
    author_name: z.string().nullable(),
    author_email: z.string().nullable(),
    authored_at: instant.nullable(),
    base_commit: z.string().nullable(),
    commit_id: z.string().nullable(),
    tree_id: z.string().nullable(),
    landed_commit: z.string().nullable(),
    landed_tree: z.string().nullable(),
    reverts_patch_id: z.string().nullable(),
    /** True while it is QUARANTINED and lands once an operator approves it. Its task waits meanwhile. */
    awaits_approval: z.boolean(),
    approved_at: instant.nullable(),
    approved_by: z.string().nullable(),
    expires_at: instant.nullable(),
    staged_at: instant.nullable(),
    applied_at: instant.nullable(),
    verified_at: instant.nullable(),
  })
  .meta({ id: 'Patch' });

export const gateObject = z
  .strictObject({
    ...common,
    run_id: z.string(),
    task_id: z.string(),
    target_id: z.string(),
    worker_id: z.string().nullable(),
    claimed_by: z.string().nullable(),
    test_suite: z.string(),
    state: z.enum(GATE_STATES),
    outcome: z.enum(GATE_OUTCOMES).nullable(),
    ...ending,
    definition: z.unknown(),
    digest: z.string().nullable(),
    tree_id: z.string().nullable(),
    tip_commit: z.string().nullable(),
    patch_ids: z.array(z.string()),
    pinned: z.boolean(),
    advisory: z.boolean(),
    pool: z.string(),
    attempt: count,
    timeout_seconds: count,
    exit_code: count.nullable(),
    test_results: facts.nullable(),
    confinement: z.enum(CONFINEMENT_KINDS).nullable(),
    dispatched_at: instant.nullable(),
    ...span,
  })
  .meta({ id: 'Gate' });

export const runObject = z
  .strictObject({
    ...common,
    name: z.string(),
    target_id: z.string(),
    state: z.enum(RUN_STATES),
    outcome: z.enum(OUTCOMES).nullable(),
    ...ending,
    evidence: facts.nullable(),
    labels: z.record(z.string(), z.string()),
    priority: count,
    land: z.boolean(),
    extra_gates: z.array(gateSchema),
    submitted_by: z.string().nullable(),
    concurrency_key: z.string().nullable(),
    concurrency_max: count.nullable(),
    supersede: z.boolean(),
    budget_usd: usd.nullable(),
    cost_usd: usd,
    progress_percentage: count,
    workstreams_total: count,
    workstreams_ended: count,
    tasks_total: count,
    tasks_ended: count,
    expires_at: instant.nullable(),
    ...span,
  })
  .meta({ id: 'Run' });

/** Parts of a run that `expand` inlines. */
export const expandedRunObject = runObject
  .extend({
    workstreams: z.array(workstreamObject).optional(),
    tasks: z.array(taskObject).optional(),
    patches: z.array(patchObject).optional(),
    gates: z.array(gateObject).optional(),
  })
  .meta({ id: 'ExpandedRun' });

export const workerObject = z
  .strictObject({
    ...common,
    hostname: z.string().nullable(),
    pid: count.nullable(),
    state: z.enum(WORKER_STATES),
    ...ending,
    pools: z.array(z.string()),
    task_slots: count,
    gate_slots: count,
    draining: z.boolean(),
    last_heartbeat: instant,
    stopped_at: instant.nullable(),
    starving_since: instant.nullable(),
    stalled_since: instant.nullable(),
    /** Since when it takes nothing because its data folder is over `disk.max_bytes`. */
    over_disk_since: instant.nullable(),
    refused_writes: count,
    /** Null for workers of older versions, which did not report it. */
    confinement: z.enum(CONFINEMENT_KINDS).nullable(),
  })
  .meta({ id: 'Worker' });

export const breakerObject = z
  .strictObject({
    ...common,
    tool_name: z.string(),
    state: z.enum(BREAKER_STATES),
    ...ending,
    failure_count: count,
    failure_threshold: count,
    cooldown_seconds: count,
    last_failure_at: instant.nullable(),
    opened_at: instant.nullable(),
    /** The task whose attempt is the probe; only while HALF_OPEN. */
    probe_task_id: z.string().nullable(),
    tripped_by: z.string().nullable(),
    concurrency: count.nullable(),
    rate_max: count.nullable(),
    rate_per_seconds: count.nullable(),
    usd_per_day: usd.nullable(),
  })
  .meta({ id: 'Breaker' });

/** One event for one webhook. `attempts` counts from the last replay; `status` is that of the last answer. */
export const deliveryObject = z
  .strictObject({
    id: z.string(),
    created_at: instant,
    webhook: z.string(),
    event_id: z.string(),
    type: z.string(),
    outcome: z.enum(DELIVERY_OUTCOMES),
    body: z.string(),
    attempts: count,
    next_attempt_at: instant.nullable(),
    status: count.nullable(),
    error: z.string().nullable(),
    settled_at: instant.nullable(),
  })
  .meta({ id: 'Delivery' });

export const targetObject = z
  .strictObject({
    ...common,
    repository: z.string(),
    branch: z.string(),
    tip_commit: z.string().nullable(),
    tip_tree: z.string().nullable(),
    policy_error: z.string().nullable(),
    /** Why nothing can land there: branch or remote gone, mirror broken. `code` is an error code. */
    fault: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
    observed_at: instant.nullable(),
    paused_at: instant.nullable(),
    paused_by: z.string().nullable(),
    pause_reason: z.string().nullable(),
    resumed_at: instant.nullable(),
  })
  .meta({ id: 'Target' });

export type RunObject = z.output<typeof runObject>;
export type ExpandedRunObject = z.output<typeof expandedRunObject>;
export type WorkstreamObject = z.output<typeof workstreamObject>;
export type TaskObject = z.output<typeof taskObject>;
export type WholeTaskObject = z.output<typeof wholeTaskObject>;
export type PatchObject = z.output<typeof patchObject>;
export type GateObject = z.output<typeof gateObject>;
export type WorkerObject = z.output<typeof workerObject>;
export type BreakerObject = z.output<typeof breakerObject>;
export type DeliveryObject = z.output<typeof deliveryObject>;
export type TargetObject = z.output<typeof targetObject>;
