import CircuitBreaker from 'opossum';
import type { BreakerState } from '../contract/states.ts';
import type { ToolFact } from './tool.ts';

/** Result of a guarded call; `refused` when the breaker is OPEN. */
export type Guarded<T> = { kind: 'ran'; value: T } | { kind: 'refused' };

/** Largest delay that a timer takes, so that the guard never changes its state by its own clock. */
const NEVER_MS = 2 ** 31 - 1;

class Fault<T> extends Error {
  readonly value: T;
  constructor(value: T) {
    super('tool fault');
    this.value = value;
  }
}

/**
 * Runs `action` behind a breaker made for this one claim from the ledger's row: refused while OPEN, one call while
 * HALF_OPEN. The breaker's own clock, counts and thresholds are disabled (docs/decisions/0003); the ledger decides what
 * a fact changes.
 */
export async function runGuarded<T extends { fact: ToolFact }>(
  state: BreakerState,
  action: () => Promise<T>,
): Promise<Guarded<T>> {
  const breaker = new CircuitBreaker(
    async () => {
      const value = await action();
      if (value.fact === 'fault') throw new Fault(value);
      return value;
    },
    {
      timeout: false,
      resetTimeout: NEVER_MS,
      volumeThreshold: Number.MAX_SAFE_INTEGER,
      state: guardState(state),
    } as CircuitBreaker.Options,
  );
  try {
    return { kind: 'ran', value: await breaker.fire() };
  } catch (error) {
    if (error instanceof Fault) return { kind: 'ran', value: error.value as T };
    if ((error as { code?: string }).code === 'EOPENBREAKER') return { kind: 'refused' };
    throw error;
  } finally {
    breaker.shutdown();
  }
}

function guardState(state: BreakerState) {
  return { enabled: true, closed: state === 'CLOSED', open: state === 'OPEN', halfOpen: state === 'HALF_OPEN' };
}
