import type { RunState } from '../../contract/states.ts';

export const RUN_EDGES = {
  INITIALIZING: ['RUNNING', 'FAILED'],
  RUNNING: ['PAUSED', 'COMPLETED', 'FAILED'],
  PAUSED: ['RUNNING', 'FAILED'],
  COMPLETED: [],
  FAILED: [],
} as const satisfies Record<RunState, readonly RunState[]>;

export const RUN_FORCED_EDGES = { FAILED: ['RUNNING'] } as const satisfies Partial<
  Record<RunState, readonly RunState[]>
>;
