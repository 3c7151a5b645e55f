/**
 * File names are bytes, mostly UTF-8. A byte that is not valid UTF-8 becomes the lone surrogate U+DC00 + byte (as
 * Python's `surrogateescape` does), so every name has one text and converts back unchanged.
 */
const ESCAPE = 0xdc00;

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function pathFromBytes(bytes: Buffer): string {
  try {
    return strict.decode(bytes);
  } catch {
    return escapeBytes(bytes);
  }
}

export function pathToBytes(path: string): Buffer {
  if (path.isWellFormed()) return Buffer.from(path, 'utf8');
  const parts = [...path].map((character) => {
    const code = character.codePointAt(0)!;
    return isEscape(code) ? Buffer.from([code - ESCAPE]) : Buffer.from(character, 'utf8');
  });
  return Buffer.concat(parts);
}

/** True for a name that holds bytes that are not valid UTF-8. */
export function holdsRawBytes(path: string): boolean {
  return !path.isWellFormed();
}

function isEscape(code: number): boolean {
  return code >= ESCAPE + 0x80 && code <= ESCAPE + 0xff;
}

/** Decodes each valid character and escapes every other byte. */
function escapeBytes(bytes: Buffer): string {
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length === 0) {
      text += String.fromCharCode(ESCAPE + bytes[at]!);
      at += 1;
    } else {
      text += bytes.toString('utf8', at, at + length);
      at += length;
    }
  }
  return text;
}

/** Returns the length in bytes of the valid UTF-8 character at this place; 0 when there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const lead = bytes[at]!;
  const length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  try {
    strict.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}
