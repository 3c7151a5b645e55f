import { expect, test } from 'vitest';
import { holdsSecret, redactor } from '../../../src/lib/redact.ts';

test('every occurrence of every secret goes, the longest first', () => {
  const redact = redactor(['secret-key', 'secret-key-longer']);
  expect(redact('a secret-key-longer b secret-key')).toBe('a [redacted] b [redacted]');
});

test('values too short to be secrets are left alone', () => {
  expect(redactor(['abc'])('abc')).toBe('abc');
  expect(holdsSecret(['abc'], Buffer.from('abc'))).toBe(false);
});

test('a secret is found in bytes', () => {
  expect(holdsSecret(['hunter22'], Buffer.from('x\0hunter22\0'))).toBe(true);
});
