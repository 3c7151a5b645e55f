export const GATE_STATES = ['PENDING', 'RUNNING', 'PASSED', 'FAILED', 'BLOCKED'] as const;
export type GateState = (typeof GATE_STATES)[number];

/** A re-run is a new row. */
export const GATE_EDGES = {
  PENDING: ['RUNNING', 'BLOCKED', 'FAILED'],
  BLOCKED: ['PENDING', 'FAILED'],
  RUNNING: ['PASSED', 'FAILED'],
  PASSED: [],
  FAILED: [],
} as const satisfies Record<GateState, readonly GateState[]>;

/** Why a gate FAILED: only `red` says something of the tree. */
export const GATE_OUTCOMES = ['red', 'timeout', 'lost', 'unproven', 'withdrawn', 'tainted'] as const;
export type GateOutcome = (typeof GATE_OUTCOMES)[number];
