import fc from 'fast-check';
import { expect, test } from 'vitest';
import { storableJson, storableText } from '../../../src/lib/storable.ts';

test('any string becomes one that PostgreSQL takes: no NUL, no lone surrogate', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const stored = storableText(text);
      expect(stored.includes('\0')).toBe(false);
      expect(stored.isWellFormed()).toBe(true);
    }),
  );
});

test('JSON with odd strings anywhere stays JSON with the same shape', () => {
  expect(JSON.parse(storableJson({ a: ['\0x', { b: '\ud800' }], n: 1 }))).toEqual({ a: ['x', { b: '\ufffd' }], n: 1 });
});
