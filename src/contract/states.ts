/** States and outcomes by their wire names. `domain/lifecycles/` defines the legal transitions. */
export const RUN_STATES = ['INITIALIZING', 'RUNNING', 'PAUSED', 'COMPLETED', 'FAILED'] as const;
export type RunState = (typeof RUN_STATES)[number];

export const WORKSTREAM_STATES = [
  'PENDING',
  'INITIALIZING',
  'RUNNING',
  'PAUSED',
  'BLOCKED',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'ABANDONED',
] as const;
export type WorkstreamState = (typeof WORKSTREAM_STATES)[number];

export const TASK_STATES = [
  'PENDING',
  'QUEUED',
  'VALIDATING',
  'RUNNING',
  'COMPLETED',
  'FAILED',
  'BLOCKED',
  'CANCELLED',
  'RETRYING',
] as const;
export type TaskState = (typeof TASK_STATES)[number];

export const WORKER_STATES = ['IDLE', 'BUSY', 'UNHEALTHY', 'DEAD', 'STOPPED'] as const;
export type WorkerState = (typeof WORKER_STATES)[number];

export const PATCH_STATES = [
  'PENDING',
  'VALIDATING',
  'QUARANTINED',
  'STAGED',
  'APPLIED',
  'VERIFIED',
  'ROLLED_BACK',
  'SUPERSEDED',
  'EXPIRED',
  'BLOCKED',
] as const;
export type PatchState = (typeof PATCH_STATES)[number];

export const GATE_STATES = ['PENDING', 'RUNNING', 'PASSED', 'FAILED', 'BLOCKED'] as const;
export type GateState = (typeof GATE_STATES)[number];

/** Why a gate FAILED. `lost` and `withdrawn` say nothing about the tree. */
export const GATE_OUTCOMES = ['red', 'timeout', 'lost', 'unproven', 'withdrawn', 'tainted'] as const;
export type GateOutcome = (typeof GATE_OUTCOMES)[number];

export const BREAKER_STATES = ['CLOSED', 'OPEN', 'HALF_OPEN'] as const;
export type BreakerState = (typeof BREAKER_STATES)[number];

export const DELIVERY_OUTCOMES = ['pending', 'delivered', 'failed'] as const;
export type DeliveryOutcome = (typeof DELIVERY_OUTCOMES)[number];

/** Outcomes of runs, workstreams and tasks that have ended. */
export const OUTCOMES = ['succeeded', 'failed', 'cancelled'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** How a worker isolates its children from its machine; `user` and `none` do not confine them. */
export const CONFINEMENT_KINDS = ['bubblewrap', 'user', 'none'] as const;
export type ConfinementKind = (typeof CONFINEMENT_KINDS)[number];

/** Warnings for the operator, by kind of confinement; null where children are confined. */
export const CONFINEMENT_DANGERS = {
  bubblewrap: null,
  user: 'tools, gates and prepare steps run as separate users, but see and reach what any user of this machine can',
  none: 'tools, gates and prepare steps run as the user of the daemon: they can read and change what it can, including its database',
} as const satisfies Record<ConfinementKind, string | null>;
