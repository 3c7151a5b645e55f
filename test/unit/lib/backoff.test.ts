import { expect, test } from 'vitest';
import { fullJitterMs } from '../../../src/lib/backoff.ts';

const policy = { baseMs: 100, capMs: 1_000 };

test('a delay lies between 0 and the base doubled once per failure', () => {
  expect(fullJitterMs(policy, 0, () => 0)).toBe(0);
  expect(fullJitterMs(policy, 2, () => 0.999)).toBeLessThan(400);
  expect(fullJitterMs(policy, 2, () => 0.5)).toBe(200);
});

test('the cap holds for any number of failures', () => {
  expect(fullJitterMs(policy, 10_000, () => 0.5)).toBe(500);
});
