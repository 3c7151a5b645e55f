import { expect, test } from 'vitest';
import { exitCodeOf } from '../../../src/cli/exit-codes.ts';
import { SluiceError } from '../../../src/contract/errors.ts';

test.each([
  ['spec.invalid', 2],
  ['daemon.unreachable', 3],
  ['database.unreachable', 3],
  ['auth.refused', 4],
  ['state.changed', 1],
] as const)('%s exits with %i', (code, exit) => {
  expect(exitCodeOf(new SluiceError(code, 'x'))).toBe(exit);
});

test('an unexpected error exits with 1', () => {
  expect(exitCodeOf(new Error('x'))).toBe(1);
});
