import { inflateSync } from 'node:zlib';
import { type BinaryContent, type DiffLines, MalformedDiff } from './diff-model.ts';

/** Refuses larger contents before they are unpacked. */
const MAX_BYTES = 512 * 1024 * 1024;
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~';
const BLOCK = /^(literal|delta) (\d{1,10})\r?$/;
const DATA = /^[A-Za-z][0-9A-Za-z!#$%&()*+\-;<=>?@^_`{|}~]+\r?$/;

/** Reads the lines after `GIT binary patch`: the new content. The old content may follow and is skipped. */
export function readBinaryContent(cursor: DiffLines): BinaryContent {
  const content = readBlock(cursor);
  if (BLOCK.test(cursor.peek() ?? '')) readBlock(cursor);
  return content;
}

function readBlock(cursor: DiffLines): BinaryContent {
  const head = BLOCK.exec(cursor.peek() ?? '');
  if (head === null) throw new MalformedDiff(cursor.number, 'expected "literal SIZE" or "delta SIZE"');
  cursor.take();
  const content: BinaryContent = { kind: head[1] as BinaryContent['kind'], sizeBytes: Number(head[2]), lines: [] };
  while (DATA.test(cursor.peek() ?? '')) content.lines.push(cursor.take().trimEnd());
  if (!cursor.done && cursor.peek()!.trim() !== '') {
    throw new MalformedDiff(cursor.number, 'expected a line of base85 or a blank line');
  }
  cursor.take();
  return content;
}

/** Returns the new content of a file; undefined when the data are invalid or do not fit the old content. */
export function unpackBinary({ kind, sizeBytes, lines }: BinaryContent, old: Buffer): Buffer | undefined {
  if (sizeBytes > MAX_BYTES) return undefined;
  try {
    const packed = Buffer.concat(lines.map(decodeLine));
    const unpacked = inflateSync(packed, { maxOutputLength: Math.max(sizeBytes, 1) });
    if (unpacked.length !== sizeBytes) return undefined;
    return kind === 'literal' ? unpacked : applyDelta(unpacked, old);
  } catch {
    return undefined;
  }
}

/** Decodes git's base85: one character for the length (A = 1 … z = 52), then five digits for each four bytes. */
function decodeLine(line: string): Buffer {
  const lead = line.charCodeAt(0);
  const length = lead >= 97 ? lead - 97 + 27 : lead - 65 + 1;
  const bytes = Buffer.alloc(Math.ceil(length / 4) * 4);
  for (let at = 1, to = 0; at < line.length; at += 5, to += 4) {
    let value = 0;
    for (const digit of line.slice(at, at + 5)) value = value * 85 + DIGITS.indexOf(digit);
    bytes.writeUInt32BE(value, to);
  }
  return bytes.subarray(0, length);
}

/** Applies git's pack delta: two sizes, then copies from the old content and insertions. */
function applyDelta(delta: Buffer, old: Buffer): Buffer | undefined {
  let at = 0;
  const readSize = (): number => {
    let [size, scale] = [0, 1];
    for (let byte = 0x80; byte & 0x80; scale *= 128) {
      byte = delta.readUInt8(at++);
      size += (byte & 0x7f) * scale;
    }
    return size;
  };
  const readPart = (command: number, bits: readonly number[]): number =>
    bits.reduce((value, bit, index) => (command & bit ? value + delta.readUInt8(at++) * 256 ** index : value), 0);
  if (readSize() !== old.length) return undefined;
  const sizeBytes = readSize();
  if (sizeBytes > MAX_BYTES) return undefined;
  const parts: Buffer[] = [];
  let written = 0;
  while (at < delta.length) {
    const command = delta.readUInt8(at++);
    const isCopy = (command & 0x80) !== 0;
    const from = isCopy ? readPart(command, [0x01, 0x02, 0x04, 0x08]) : at;
    const length = isCopy ? readPart(command, [0x10, 0x20, 0x40]) || 0x10000 : command;
    const part = (isCopy ? old : delta).subarray(from, from + length);
    if (part.length !== length || length === 0 || written + length > sizeBytes) return undefined;
    if (!isCopy) at += length;
    parts.push(part);
    written += length;
  }
  return written === sizeBytes ? Buffer.concat(parts) : undefined;
}
