import { expect, test } from 'vitest';
import { progressPercentage, runEnding, workstreamEnding } from '../../../src/domain/outcome.ts';

test('a workstream ends with its last task', () => {
  expect(workstreamEnding({ total: 2, ended: 1, failed: 1, cancelled: 0 })).toBeUndefined();
  expect(workstreamEnding({ total: 2, ended: 2, failed: 0, cancelled: 0 })).toBe('COMPLETED');
  expect(workstreamEnding({ total: 2, ended: 2, failed: 0, cancelled: 1 })).toBe('FAILED');
});

test('only critical workstreams fail a run', () => {
  expect(runEnding({ total: 2, ended: 2, criticalFailed: 0 })).toBe('COMPLETED');
  expect(runEnding({ total: 2, ended: 2, criticalFailed: 1 })).toBe('FAILED');
  expect(runEnding({ total: 2, ended: 1, criticalFailed: 1 })).toBeUndefined();
});

test('progress is a whole number, and 100 only at the end', () => {
  expect(progressPercentage({ total: 3, ended: 2 })).toBe(66);
  expect(progressPercentage({ total: 1_000, ended: 999 })).toBe(99);
  expect(progressPercentage({ total: 3, ended: 3 })).toBe(100);
});
