import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { wrapped } from '../../../harness/wrapped.ts';
import { errorPage } from '../../../src/contract/error-page.ts';

test('docs/errors.md is the page of errors that the API serves', () => {
  expect(readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')).toBe(wrapped(errorPage()));
});
