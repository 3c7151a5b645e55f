import type { GateState } from '../../contract/states.ts';

/** A re-run is a new row. */
export const GATE_EDGES = {
  PENDING: ['RUNNING', 'BLOCKED', 'FAILED'],
  BLOCKED: ['PENDING', 'FAILED'],
  RUNNING: ['PASSED', 'FAILED'],
  PASSED: [],
  FAILED: [],
} as const satisfies Record<GateState, readonly GateState[]>;
