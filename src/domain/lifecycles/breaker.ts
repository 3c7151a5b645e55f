export const BREAKER_STATES = ['CLOSED', 'OPEN', 'HALF_OPEN'] as const;
export type BreakerState = (typeof BREAKER_STATES)[number];

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
