import type { WorkerState } from '../../contract/states.ts';

/** A DEAD worker that returns registers a new row. */
export const WORKER_EDGES = {
  IDLE: ['BUSY', 'UNHEALTHY', 'STOPPED'],
  BUSY: ['IDLE', 'UNHEALTHY', 'STOPPED'],
  UNHEALTHY: ['IDLE', 'BUSY', 'DEAD', 'STOPPED'],
  DEAD: [],
  STOPPED: [],
} as const satisfies Record<WorkerState, readonly WorkerState[]>;
