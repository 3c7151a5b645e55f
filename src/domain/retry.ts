import type { BackoffPolicy } from '../lib/backoff.ts';

/** How an attempt that gave no usable change ended. Only `retryable` uses up a retry. */
export type FailureClass = 'retryable' | 'fatal' | 'limited' | 'interrupted';

export const RETRY_BACKOFF: BackoffPolicy = { baseMs: 1_000, capMs: 60_000 };
export const LIMITED_DELAY_MS = 60_000;
/** A task that keeps killing its workers is stopped in the end. */
export const MAX_INTERRUPTIONS = 20;

export type NextStep =
  | { to: 'RETRYING'; usesRetry: boolean; delayMs: number }
  | { to: 'QUEUED' }
  | { to: 'FAILED'; reason?: string };

export function afterFailure(
  failure: FailureClass,
  task: { retryCount: number; maxRetries: number; interruptions: number },
  jitterMs: (failures: number) => number,
): NextStep {
  switch (failure) {
    case 'fatal':
      return { to: 'FAILED' };
    case 'limited':
      return { to: 'RETRYING', usesRetry: false, delayMs: LIMITED_DELAY_MS };
    case 'interrupted':
      return task.interruptions + 1 > MAX_INTERRUPTIONS
        ? { to: 'FAILED', reason: 'too_many_interruptions' }
        : { to: 'QUEUED' };
    case 'retryable':
      return task.retryCount >= task.maxRetries
        ? { to: 'FAILED' }
        : { to: 'RETRYING', usesRetry: true, delayMs: jitterMs(task.retryCount) };
    default:
      return failure satisfies never;
  }
}
