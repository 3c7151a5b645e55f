import type { BreakerState } from '../../contract/states.ts';

export const BREAKER_EDGES = {
  CLOSED: ['OPEN'],
  OPEN: ['HALF_OPEN'],
  HALF_OPEN: ['CLOSED', 'OPEN'],
} as const satisfies Record<BreakerState, readonly BreakerState[]>;

export const BREAKER_FORCED_EDGES = {
  CLOSED: ['OPEN'],
  OPEN: ['CLOSED'],
  HALF_OPEN: ['CLOSED', 'OPEN'],
} as const satisfies Record<BreakerState, readonly BreakerState[]>;
