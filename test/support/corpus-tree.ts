import { pathToBytes } from '../../src/lib/byte-path.ts';

export interface Entry {
  mode: '100644' | '100755' | '120000';
  content: Buffer;
}

export type Tree = ReadonlyMap<string, Entry>;

/** A file's lines as Latin-1; a line may end in a carriage return. */
interface Text {
  lines: string[];
  lastIsWhole: boolean;
}

export function textOf(content: Buffer): Text {
  const lines = content.toString('latin1').split('\n');
  const lastIsWhole = lines.at(-1) === '';
  if (lastIsWhole) lines.pop();
  return { lines, lastIsWhole };
}

export function contentOf({ lines, lastIsWhole }: Text): Buffer {
  return Buffer.from(lines.length === 0 ? '' : lines.join('\n') + (lastIsWhole ? '\n' : ''), 'latin1');
}

export function isBinary(content: Buffer): boolean {
  return content.includes(0);
}

export function isText({ mode, content }: Entry): boolean {
  return mode !== '120000' && content.length > 0 && !isBinary(content);
}

function isSameEntry(a: Entry | undefined, b: Entry | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.mode === b.mode && a.content.equals(b.content));
}

/** Paths that differ, in the order in which git and diff list them. */
export function changedPaths(before: Tree, after: Tree): string[] {
  const paths = [...new Set([...before.keys(), ...after.keys()])];
  const differing = paths.filter((path) => !isSameEntry(before.get(path), after.get(path)));
  return differing.toSorted((a, b) => Buffer.compare(pathToBytes(a), pathToBytes(b)));
}

export function isSameTree(before: Tree, after: Tree): boolean {
  return changedPaths(before, after).length === 0;
}
