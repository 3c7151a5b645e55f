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

test('a message carries what one worker drains in a twentieth of a second: one task where tasks last', () => {
  const rate = new DrainRate(() => 0);
  rate.count('default', 50);
  expect(rate.together('default', 1)).toBe(1);
  rate.count('default', 800);
  expect(rate.together('default', 1)).toBe(40);
  expect(rate.together('default', 3)).toBe(13);
  expect(rate.together('default', 0)).toBe(40);
  expect(rate.together('other', 1)).toBe(1);
  rate.count('default', 1_000_000);
  expect(rate.together('default', 1)).toBe(100);
});
