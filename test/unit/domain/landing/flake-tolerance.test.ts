import { expect, test } from 'vitest';
import {
  badTime,
  greensDecide,
  NO_TOLERANCE,
  redsLaidToFlakes,
} from '../../../../src/domain/landing/flake-tolerance.ts';

test.each([
  [{ good: 0, flaky: 0 }, 0],
  [{ good: 500, flaky: 0 }, 0],
  // One flake among few runs is weak evidence.
  [{ good: 2, flaky: 1 }, 1],
  [{ good: 500, flaky: 1 }, 1],
  [{ good: 2_000, flaky: 1 }, 0],
  [{ good: 500, flaky: 30 }, 2],
  [{ good: 500, flaky: 100 }, 4],
])('with a history of %o, %i reds are attributed to flakes', (history, reds) => {
  expect(redsLaidToFlakes(history)).toBe(reds);
});

test.each([
  [{ greens: 0, reds: 0 }, 5, false],
  [{ greens: 1, reds: 0 }, 0, true],
  [{ greens: 1, reds: 1 }, 0, false],
  [{ greens: 1, reds: 1 }, 1, true],
  [{ greens: 2, reds: 1 }, 0, true],
  [{ greens: 1, reds: 3 }, 2, false],
])('the greens of %o decide with %i tolerated reds: %s', (seen, reds, decided) => {
  expect(greensDecide(seen, { ...NO_TOLERANCE, reds })).toBe(decided);
});

test.each([
  ['was bad twice, and is green', { greenAtMs: 9, badTipAtMs: 7, badTips: 2, greenBeforeMs: 3 }, [3, 7]],
  ['was bad once, perhaps by a flake', { greenAtMs: 9, badTipAtMs: 7, badTips: 1, greenBeforeMs: 3 }, [0, 0]],
  ['is still bad', { greenAtMs: 3, badTipAtMs: 7, badTips: 2, greenBeforeMs: 3 }, [0, 0]],
])('the excused time of a tip that %s', (_, health, [excusedFromMs, excusedBeforeMs]) => {
  expect(badTime(health)).toEqual({ excusedFromMs, excusedBeforeMs });
});
