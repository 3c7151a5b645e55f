import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { wrapped } from '../../../harness/wrapped.ts';
import { referencePage, undescribed } from '../../../scripts/reference.ts';

test('every key of policy, configuration and run spec has a meaning, and docs/reference.md lists it', () => {
  expect(undescribed()).toEqual([]);
  const page = readFileSync(new URL('../../../docs/reference.md', import.meta.url), 'utf8');
  expect(page).toBe(wrapped(referencePage()));
});
