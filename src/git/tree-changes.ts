import type { ChangedPath } from '../domain/path-rules.ts';
import { pathFromBytes } from '../lib/byte-path.ts';
import type { ObjectStore } from './object-store.ts';

export interface TreeChange {
  paths: ChangedPath[];
  binary: boolean;
  /** The change as git writes it. Applied to the base tree, it gives the other tree, including binary files. */
  diff: Buffer;
}

/**
 * Returns the differences between two trees. Renames are not detected, so that every touched path is listed by name.
 */
export async function changesBetween(mirror: ObjectStore, from: string, to: string): Promise<TreeChange> {
  const paths = await changedPaths(mirror, from, to);
  const numbers = await mirror.run({ args: ['diff-tree', '-r', '-z', '--numstat', '--no-renames', from, to] });
  const diff = await mirror.run({
    args: [
      'diff-tree',
      '-r',
      '-p',
      '--binary',
      '--full-index',
      '--no-renames',
      '--no-ext-diff',
      '--no-textconv',
      from,
      to,
    ],
  });
  return {
    paths,
    binary: numbers
      .toString('latin1')
      .split('\0')
      .some((line) => line.startsWith('-\t-\t')),
    diff,
  };
}

/** Reads `:oldmode newmode oldblob newblob status NUL path NUL`, repeated. Symbolic links include their target. */
export async function changedPaths(mirror: ObjectStore, from: string, to: string): Promise<ChangedPath[]> {
  const fields = splitAtNul(await mirror.longLived.compare(from, to));
  const changes: ChangedPath[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [oldMode, mode, , blob] = fields[i]!.toString('latin1').slice(1).split(' ');
    const path = pathFromBytes(fields[i + 1]!);
    const change: ChangedPath = { path, mode: present(mode!), oldMode: present(oldMode!) };
    if (mode === '120000') change.linkTarget = (await mirror.longLived.content(blob!))?.content.toString();
    changes.push(change);
  }
  return changes;
}

function present(mode: string): string | null {
  return mode === '000000' ? null : mode;
}

export interface TreeEntry {
  mode: string;
  blob: string;
  path: string;
}

export async function listTree(mirror: ObjectStore, tree: string): Promise<TreeEntry[]> {
  const raw = await mirror.run({ args: ['ls-tree', '-r', '-z', '--full-tree', tree] });
  return splitAtNul(raw).map((line) => {
    const tab = line.indexOf('\t');
    const [mode, , blob] = line.toString('latin1', 0, tab).split(' ');
    return { mode: mode!, blob: blob!, path: pathFromBytes(line.subarray(tab + 1)) };
  });
}

/** Splits git's `-z` output into bytes, because names need not be UTF-8. */
export function splitAtNul(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0, from);
    const until = end === -1 ? bytes.length : end;
    parts.push(bytes.subarray(from, until));
    from = until + 1;
  }
  return parts;
}
