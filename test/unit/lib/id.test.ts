import { expect, test } from 'vitest';
import { newId } from '../../../src/lib/id.ts';

test('ids carry their prefix and sort in the order in which they were made', () => {
  const ids = Array.from({ length: 5_000 }, () => newId('task'));
  expect(ids.every((id) => /^task_[0-9a-hjkmnp-tv-z]{26}$/.test(id))).toBe(true);
  expect(ids.toSorted()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
});
