import { expect, test } from 'vitest';
import { afterFailure, MAX_INTERRUPTIONS, MAX_LIMITED_DELAY_MS } from '../../../src/domain/retry.ts';

const task = { retryCount: 0, maxRetries: 1, interruptions: 0, sameAsBefore: false };
const jitter = () => 7;

test('only a retryable failure uses up a retry', () => {
  expect(afterFailure('retryable', task, jitter)).toEqual({ to: 'RETRYING', usesRetry: true, delayMs: 7 });
  expect(afterFailure('retryable', { ...task, retryCount: 1 }, jitter)).toEqual({ to: 'FAILED' });
  expect(afterFailure('limited', { ...task, retryCount: 1 }, jitter)).toMatchObject({
    to: 'RETRYING',
    usesRetry: false,
  });
  expect(afterFailure('fatal', task, jitter)).toEqual({ to: 'FAILED' });
});

test('P9: an interrupted task is QUEUED, and FAILS only after too many interruptions or three dead workers', () => {
  expect(afterFailure('interrupted', { ...task, retryCount: 1 }, jitter)).toEqual({ to: 'QUEUED' });
  expect(afterFailure('interrupted', { ...task, interruptions: MAX_INTERRUPTIONS }, jitter)).toEqual({
    to: 'FAILED',
    reason: 'too_many_interruptions',
  });
  expect(afterFailure('interrupted', { ...task, workerDeaths: 2 }, jitter)).toEqual({ to: 'QUEUED' });
  expect(afterFailure('interrupted', { ...task, workerDeaths: 3 }, jitter)).toEqual({
    to: 'FAILED',
    reason: 'kills_its_worker',
  });
});

test('the same failure twice in a row ends the retries, however many are left', () => {
  expect(afterFailure('retryable', { ...task, sameAsBefore: true }, jitter)).toEqual({
    to: 'FAILED',
    reason: 'same_failure_twice',
  });
  expect(afterFailure('interrupted', { ...task, sameAsBefore: true }, jitter)).toEqual({ to: 'QUEUED' });
});

test('a limited tool is called again when it asked for, at most a day later, or after a minute if it did not ask', () => {
  const delayOf = (retryAfterMs?: number) => afterFailure('limited', { ...task, retryAfterMs }, jitter);
  expect(delayOf(300_000)).toEqual({ to: 'RETRYING', usesRetry: false, delayMs: 300_000 });
  expect(delayOf(10 * MAX_LIMITED_DELAY_MS)).toMatchObject({ delayMs: MAX_LIMITED_DELAY_MS });
  expect(delayOf()).toMatchObject({ delayMs: 60_000 });
  // At least 1 s, so that a tool that always asks for 0 is not called in a tight loop.
  expect(delayOf(0)).toMatchObject({ delayMs: 1_000 });
});
