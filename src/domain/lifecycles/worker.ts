export const WORKER_STATES = ['IDLE', 'BUSY', 'UNHEALTHY', 'DEAD', 'STOPPED'] as const;
export type WorkerState = (typeof WORKER_STATES)[number];

/** A DEAD worker that returns registers a new row. */
export const WORKER_EDGES = {
  IDLE: ['BUSY', 'UNHEALTHY', 'STOPPED'],
  BUSY: ['IDLE', 'UNHEALTHY', 'STOPPED'],
  UNHEALTHY: ['IDLE', 'BUSY', 'DEAD', 'STOPPED'],
  DEAD: [],
  STOPPED: [],
} as const satisfies Record<WorkerState, readonly WorkerState[]>;
