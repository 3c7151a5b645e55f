import type { WorkstreamState } from '../../contract/states.ts';

export const WORKSTREAM_EDGES = {
  PENDING: ['INITIALIZING', 'BLOCKED', 'CANCELLED', 'ABANDONED'],
  INITIALIZING: ['RUNNING', 'FAILED', 'CANCELLED'],
  RUNNING: ['PAUSED', 'BLOCKED', 'COMPLETED', 'FAILED', 'CANCELLED'],
  PAUSED: ['RUNNING', 'FAILED', 'CANCELLED'],
  BLOCKED: ['PENDING', 'RUNNING', 'CANCELLED', 'ABANDONED'],
  COMPLETED: [],
  FAILED: [],
  CANCELLED: [],
  ABANDONED: [],
} as const satisfies Record<WorkstreamState, readonly WorkstreamState[]>;

export const WORKSTREAM_FORCED_EDGES = {
  FAILED: ['RUNNING'],
  CANCELLED: ['RUNNING'],
  ABANDONED: ['RUNNING', 'BLOCKED'],
} as const satisfies Partial<Record<WorkstreamState, readonly WorkstreamState[]>>;
