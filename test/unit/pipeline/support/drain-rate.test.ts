import { expect, test } from 'vitest';
import { DrainRate } from '../../../../src/pipeline/support/drain-rate.ts';

test('a pool that drains fast gets work ahead in proportion, and loses it when it slows down', () => {
  let nowMs = 0;
  const rate = new DrainRate(() => nowMs);
  expect(rate.ahead('default')).toBe(0);
  rate.count('default', 8);
  expect(rate.ahead('default')).toBe(0);
  for (; nowMs < 1_000; nowMs += 100) rate.count('default', 80);
  expect(rate.ahead('default')).toBe(160);
  expect(rate.ahead('other')).toBe(0);
  nowMs = 3_000;
  expect(rate.ahead('default')).toBe(0);
});
