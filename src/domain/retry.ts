import type { ReasonName } from '../contract/reasons.ts';
import type { BackoffPolicy } from '../lib/backoff.ts';

/**
 * How an attempt without a usable change ended. `retryable` uses up a retry and waits with full jitter; `fatal` ends
 * the task; `limited` waits until the tool may be called again; `interrupted` is requeued at once, under its own cap.
 */
export type FailureClass = 'retryable' | 'fatal' | 'limited' | 'interrupted';

export const RETRY_BACKOFF: BackoffPolicy = { baseMs: 1_000, capMs: 60_000 };
/** Delay of a limited tool that does not say until when. */
export const LIMITED_DELAY_MS = 60_000;
/** Shortest delay: a tool that is never ready would otherwise be called as fast as slots become free. */
export const MIN_LIMITED_DELAY_MS = 1_000;
/** Longest delay that a tool may ask for. */
export const MAX_LIMITED_DELAY_MS = 24 * 3_600_000;
/** Interruptions after which the next one fails the task. */
export const MAX_INTERRUPTIONS = 20;
/** A task over which this many workers hung or crashed is taken to be the cause. */
const MAX_WORKER_DEATHS = 3;
/** Reason why a task with retries left is not retried: its last two attempts failed in the same words. */
export const SAME_FAILURE_TWICE = 'same_failure_twice' satisfies ReasonName;

export type NextStep =
  | { to: 'RETRYING'; usesRetry: boolean; delayMs: number }
  | { to: 'QUEUED' }
  | { to: 'FAILED'; reason?: ReasonName };

export interface FailedSoFar {
  retryCount: number;
  maxRetries: number;
  interruptions: number;
  /** Workers that died over the task, this interruption included. */
  workerDeaths?: number;
  /** True when the attempt before failed with the same fingerprint. */
  sameAsBefore: boolean;
  retryAfterMs?: number | undefined;
}

export function afterFailure(
  failure: FailureClass,
  task: FailedSoFar,
  jitterMs: (failures: number) => number,
): NextStep {
  switch (failure) {
    case 'fatal':
      return { to: 'FAILED' };
    case 'limited': {
      const askedMs = Math.max(task.retryAfterMs ?? LIMITED_DELAY_MS, MIN_LIMITED_DELAY_MS);
      const delayMs = Math.min(askedMs, MAX_LIMITED_DELAY_MS);
      return { to: 'RETRYING', usesRetry: false, delayMs };
    }
    case 'interrupted':
      if ((task.workerDeaths ?? 0) >= MAX_WORKER_DEATHS) return { to: 'FAILED', reason: 'kills_its_worker' };
      return task.interruptions + 1 > MAX_INTERRUPTIONS
        ? { to: 'FAILED', reason: 'too_many_interruptions' }
        : { to: 'QUEUED' };
    case 'retryable':
      if (task.retryCount >= task.maxRetries) return { to: 'FAILED' };
      if (task.sameAsBefore) return { to: 'FAILED', reason: SAME_FAILURE_TWICE };
      return { to: 'RETRYING', usesRetry: true, delayMs: jitterMs(task.retryCount) };
    default:
      return failure satisfies never;
  }
}
