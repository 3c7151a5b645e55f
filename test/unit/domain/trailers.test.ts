import { expect, test } from 'vitest';
import { withTrailers } from '../../../src/domain/trailers.ts';

const OURS = ['Sluice-Run: run_1'];

test.each([
  ['subject alone', 'fix', 'fix\n\nSluice-Run: run_1\n'],
  ['a body', 'fix\n\nWhy.', 'fix\n\nWhy.\n\nSluice-Run: run_1\n'],
  ['a block of trailers', 'fix\n\nSigned-off-by: A <a@b>', 'fix\n\nSigned-off-by: A <a@b>\nSluice-Run: run_1\n'],
  ['a trailer of two lines', 'fix\n\nNote: a\n b', 'fix\n\nNote: a\n b\nSluice-Run: run_1\n'],
  [
    'a mixed block that git knows',
    'fix\n\nsee there\nSigned-off-by: A <a@b>',
    'fix\n\nsee there\nSigned-off-by: A <a@b>\nSluice-Run: run_1\n',
  ],
  ['a subject that looks like a trailer', 'fix: x', 'fix: x\n\nSluice-Run: run_1\n'],
  ['text with a colon', 'fix\n\nsee: here\nand there', 'fix\n\nsee: here\nand there\n\nSluice-Run: run_1\n'],
])('withTrailers appends to a message: %s', (_what, message, expected) => {
  expect(withTrailers(message, OURS)).toBe(expected);
});
