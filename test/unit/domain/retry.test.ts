import { expect, test } from 'vitest';
import { afterFailure, MAX_INTERRUPTIONS } from '../../../src/domain/retry.ts';

const task = { retryCount: 0, maxRetries: 1, interruptions: 0 };
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

test('P9: interrupted is not failed, until a task has killed too many workers', () => {
  expect(afterFailure('interrupted', { ...task, retryCount: 1 }, jitter)).toEqual({ to: 'QUEUED' });
  expect(afterFailure('interrupted', { ...task, interruptions: MAX_INTERRUPTIONS }, jitter)).toEqual({
    to: 'FAILED',
    reason: 'too_many_interruptions',
  });
});
