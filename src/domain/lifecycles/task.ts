import type { TaskState } from '../../contract/states.ts';

export const TASK_EDGES = {
  PENDING: ['QUEUED', 'BLOCKED', 'CANCELLED'],
  BLOCKED: ['PENDING', 'CANCELLED'],
  QUEUED: ['RUNNING', 'FAILED', 'CANCELLED'],
  RUNNING: ['VALIDATING', 'RETRYING', 'FAILED', 'CANCELLED', 'QUEUED'],
  VALIDATING: ['COMPLETED', 'RETRYING', 'FAILED', 'CANCELLED'],
  RETRYING: ['QUEUED', 'FAILED', 'CANCELLED'],
  COMPLETED: [],
  FAILED: [],
  CANCELLED: [],
} as const satisfies Record<TaskState, readonly TaskState[]>;

/** CANCELLED→BLOCKED only for a task that a failed dependency cancelled. */
export const TASK_FORCED_EDGES = {
  FAILED: ['QUEUED', 'VALIDATING'],
  CANCELLED: ['QUEUED', 'BLOCKED'],
} as const satisfies Partial<Record<TaskState, readonly TaskState[]>>;
