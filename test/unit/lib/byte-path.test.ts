import fc from 'fast-check';
import { expect, test } from 'vitest';
import { holdsRawBytes, pathFromBytes, pathToBytes } from '../../../src/lib/byte-path.ts';

test('every file name converts to text and back byte for byte', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (raw) => {
      const bytes = Buffer.from(raw);
      expect(pathToBytes(pathFromBytes(bytes)).equals(bytes)).toBe(true);
    }),
  );
});

test('valid UTF-8 is kept, and other bytes become lone surrogates', () => {
  expect(pathFromBytes(Buffer.from('tést/ü'))).toBe('tést/ü');
  expect(pathFromBytes(Buffer.from('na\u00efve', 'latin1'))).toBe('na\udcefve');
  expect(holdsRawBytes('na\udcefve')).toBe(true);
});
