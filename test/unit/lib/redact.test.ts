import { expect, test } from 'vitest';
import { holdsSecret, redactor } from '../../../src/lib/redact.ts';

test('every occurrence of every secret is redacted, the longest secret first', () => {
  const redact = redactor(['secret-key', 'secret-key-longer']);
  expect(redact('a secret-key-longer b secret-key')).toBe('a [redacted] b [redacted]');
});

test('values too short to be secrets are left alone', () => {
  expect(redactor(['abc'])('abc')).toBe('abc');
  expect(holdsSecret(['abc'], Buffer.from('abc'))).toBe(false);
});

test('each line of a multi-line secret is found in a diff, but not the header that all keys share', () => {
  const key =
    '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nAQEFAASCBKcwggSjAgEAAoI\n-----END PRIVATE KEY-----\n';
  const added = key.replaceAll(/^(?=.)/gm, '+');
  expect(holdsSecret([key], Buffer.from(added))).toBe(true);
  expect(holdsSecret([key], Buffer.from('+-----BEGIN PRIVATE KEY-----\n'))).toBe(false);
});

test('a secret is found in bytes', () => {
  expect(holdsSecret(['hunter22'], Buffer.from('x\0hunter22\0'))).toBe(true);
});

test('a secret is found in its encoded forms, and redacted from text', () => {
  const secret = 'hunter2"$/correct horse';
  const redact = redactor([secret]);
  const wrapped = (before: string) => Buffer.from(`${before}${secret}, and more`).toString('base64');
  for (const text of [
    encodeURIComponent(secret),
    Buffer.from(secret).toString('hex'),
    Buffer.from(secret).toString('hex').toUpperCase(),
    JSON.stringify({ key: secret }),
    ...['', 'a', 'ab', 'abc'].map(wrapped),
    Buffer.from(`x${secret}`).toString('base64url'),
  ]) {
    expect([text, holdsSecret([secret], Buffer.from(text))]).toEqual([text, true]);
    expect(redact(text)).toContain('[redacted]');
  }
  for (const wide of [Buffer.from(secret, 'utf16le'), Buffer.from(secret, 'utf16le').swap16()])
    expect(holdsSecret([secret], wide)).toBe(true);
  expect(holdsSecret([secret], Buffer.from('hunter2 is another word'))).toBe(false);
});
