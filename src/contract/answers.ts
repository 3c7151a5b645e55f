import { z } from 'zod';
import { facts, instant, patchObject, runObject, targetObject, taskObject } from './objects.ts';
import { BREAKER_STATES, GATE_STATES } from './states.ts';

/** Answers of the API that are not rows of a table: pages, explanations, statistics, audits, events and problems. */
const count = z.int();

/** `next_cursor` is null on the last page. */
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.strictObject({ items: z.array(item), next_cursor: z.string().nullable() });
}
export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

/** RFC 9457. `code` is stable; `errors` lists the problems of a document that has several. */
export const problemDetails = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: count,
    code: z.string(),
    detail: z.string(),
    retryable: z.boolean(),
    errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
    facts: facts.optional(),
  })
  .meta({ id: 'Problem' });

export const submittedPatch = z
  .strictObject({ run: runObject, task: taskObject, patch: patchObject })
  .meta({ id: 'SubmittedPatch' });

/** `ended` is false when the time of the caller was over first. */
export const waitedRun = z.strictObject({ ended: z.boolean(), run: runObject }).meta({ id: 'WaitedRun' });
export const waitedPatch = z.strictObject({ ended: z.boolean(), patch: patchObject }).meta({ id: 'WaitedPatch' });

/** Result of one batch. A large run goes over several, so `deleted` may be 0 while there are more. */
export const prunedRuns = z.strictObject({ deleted: count, more: z.boolean() }).meta({ id: 'PrunedRuns' });

/** A declared tool: its limits (null: none), its use, and why its tasks wait. */
export const toolObject = z
  .strictObject({
    id: z.string(),
    state: z.enum(BREAKER_STATES),
    reason: z.string().nullable(),
    tripped_by: z.string().nullable(),
    probe_at: z.string().nullable(),
    probe_task_id: z.string().nullable(),
    concurrency: count.nullable(),
    in_flight: count,
    unclaimed: count,
    rate_max: count.nullable(),
    rate_per_seconds: count.nullable(),
    recent_starts: count,
    rate_free_at: z.string().nullable(),
    usd_per_day: z.number().nullable(),
    usd_today: z.number(),
    day_turns_at: z.string(),
    waits: z.string().nullable(),
    again_at: z.string().nullable(),
  })
  .meta({ id: 'Tool' });

export const EXPLAINED = ['run', 'workstream', 'task', 'patch', 'gate', 'worker', 'tool', 'target'] as const;

/**
 * Why an object is in its state. `again_at`: when that changes by itself; `again_when`: the same in words, or what must
 * happen first.
 */
export const explanation = z
  .strictObject({
    id: z.string(),
    kind: z.enum(EXPLAINED),
    state: z.string(),
    code: z.string(),
    sentence: z.string(),
    facts,
    again_at: z.string().nullable(),
    again_when: z.string(),
  })
  .meta({ id: 'Explanation' });

export const statistics = z
  .strictObject({
    pools: z.array(
      z.strictObject({
        pool: z.string(),
        tasks_waiting: count,
        oldest_waiting_seconds: z.number(),
        tasks_in_flight: count,
        task_slots: count,
        gates_waiting: count,
        gates_in_flight: count,
        gate_slots: count,
        /** Within the window, by state. */
        tasks_ended: z.record(z.string(), count),
      }),
    ),
    window_seconds: count,
    /** By cause; empty for a healthy fleet. */
    repairs: z.record(z.string(), count),
    refused_writes: count,
  })
  .meta({ id: 'Statistics' });

/** Reasons for the place of a patch in the landing queue. */
export const PLACES = [
  'testing',
  'proven',
  'queued',
  'doubted',
  'behind',
  'behind_policy',
  'push_refused',
  'not_to_land',
] as const;

const queueEntry = z.strictObject({
  patch_id: z.string(),
  task_id: z.string(),
  run_id: z.string(),
  priority: count,
  staged_at: instant,
  subject: z.string(),
  place: z.enum(PLACES),
  tree_id: z.string().nullable(),
  behind: z.array(z.string()).readonly(),
  gates: z.array(
    z.strictObject({ gate_id: z.string(), gate: z.string(), state: z.enum(GATE_STATES), pinned: z.boolean() }),
  ),
});

const redTip = z.strictObject({ gate: z.string(), gate_id: z.string(), outcome: z.string() });
const lostGate = z.strictObject({ patch_id: z.string(), gate: z.string(), gate_id: z.string(), times: count });

/** A target with its landing queue. */
export const queuedTargetObject = targetObject
  .extend({
    /** Set while the tip itself fails a gate. A patch then lands only if its own tree is green. */
    red_tip: redTip.nullable(),
    /** A gate whose runs were lost more than once with one patch. */
    lost_gate: lostGate.nullable(),
    slots: count.nullable(),
    queue: z.array(queueEntry),
  })
  .meta({ id: 'QueuedTarget' });

/** A configured repository, and the targets on it that runs have named. `concurrency` null: no limit. */
export const repositoryObject = z
  .strictObject({
    id: z.string(),
    url: z.string(),
    concurrency: count.nullable(),
    targets: z.array(z.string()),
  })
  .meta({ id: 'Repository' });

/** Whether the API can read a repository now, with its credentials. */
export const repositoryCheck = z
  .strictObject({
    id: z.string(),
    url: z.string(),
    readable: z.boolean(),
    /** Message of git; null when the repository is readable. */
    problem: z.string().nullable(),
    default_branch: z.string().nullable(),
    branches: count,
  })
  .meta({ id: 'RepositoryCheck' });

/** Likely mistakes in the policy of a target. */
export const targetCheck = z
  .strictObject({
    target_id: z.string(),
    tip_commit: z.string(),
    policy_error: z.string().nullable(),
    warnings: z.array(z.strictObject({ where: z.string(), message: z.string() })),
  })
  .meta({ id: 'TargetCheck' });

const auditedProof = z.strictObject({
  gate: z.string(),
  digest: z.string(),
  tree_id: z.string(),
  /** The green execution; null when there is no green verdict. */
  gate_id: z.string().nullable(),
  problem: z.string().nullable(),
});

/** One commit that Sluice landed. */
const auditedCommit = z.strictObject({
  commit: z.string(),
  patch_id: z.string(),
  tree_id: z.string(),
  landed_at: instant,
  on_branch: z.boolean(),
  proofs: z.array(auditedProof),
  /** The commit itself; with `prove: batch` the last commit of its push, whose tested tree includes this one. */
  proven_by: z.string(),
  proven: z.boolean(),
  /** Why the commit is not proven; null when it is. */
  problem: z.string().nullable(),
});

export const audit = z
  .strictObject({
    target_id: z.string(),
    tip_commit: z.string(),
    proven: z.boolean(),
    commits: z.array(auditedCommit),
  })
  .meta({ id: 'Audit' });

export const KINDS = ['run', 'workstream', 'task', 'worker', 'patch', 'gate', 'breaker'] as const;

/** One change of a state; `id` is its place in the order of commits. */
export const eventObject = z
  .strictObject({
    id: z.string(),
    kind: z.enum(KINDS),
    entity_id: z.string(),
    run_id: z.string().nullable(),
    attempt: count.nullable(),
    from_state: z.string().nullable(),
    to_state: z.string(),
    reason: z.string().nullable(),
    actor: z.string(),
    at: instant,
  })
  .meta({ id: 'Event' });

export const logObject = z
  .strictObject({
    id: z.string(),
    attempt: count,
    stream: z.enum(['stdout', 'stderr', 'sluice']),
    text: z.string(),
    created_at: instant,
  })
  .meta({ id: 'LogChunk' });

const check = z.discriminatedUnion('ok', [
  z.strictObject({ ok: z.literal(true) }),
  z.strictObject({ ok: z.literal(false), code: z.string(), detail: z.string() }),
]);

export const readiness = z
  .strictObject({
    status: z.enum(['ready', 'not_ready']),
    checks: z.strictObject({ database: check, schema: check, queue: check, consuming: check }),
    /** How many living workers confine their children; absent while the database does not answer. */
    confinement: z.strictObject({ confined: count, unconfined: count }).optional(),
  })
  .meta({ id: 'Readiness' });

export type Problem = z.output<typeof problemDetails>;
export type WaitedRun = z.output<typeof waitedRun>;
export type WaitedPatch = z.output<typeof waitedPatch>;
export type PrunedRuns = z.output<typeof prunedRuns>;
export type SubmittedPatch = z.output<typeof submittedPatch>;
export type ToolObject = z.output<typeof toolObject>;
export type ExplanationObject = z.output<typeof explanation>;
export type StatsObject = z.output<typeof statistics>;
export type PlaceInQueue = (typeof PLACES)[number];
export type QueueEntry = z.output<typeof queueEntry>;
export type QueuedTargetObject = z.output<typeof queuedTargetObject>;
export type RepositoryObject = z.output<typeof repositoryObject>;
export type RepositoryCheckObject = z.output<typeof repositoryCheck>;
export type TargetCheckObject = z.output<typeof targetCheck>;
export type AuditedProof = z.output<typeof auditedProof>;
export type AuditedCommit = z.output<typeof auditedCommit>;
export type AuditObject = z.output<typeof audit>;
export type EventObject = z.output<typeof eventObject>;
export type LogObject = z.output<typeof logObject>;
export type CheckObject = z.output<typeof check>;
