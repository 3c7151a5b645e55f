import type { ChangedPath } from '../domain/path-rules.ts';
import type { Mirror } from './mirror.ts';

export interface TreeChange {
  paths: ChangedPath[];
  binary: boolean;
  /** The change as git writes it; applied to the base tree it gives the other tree, whatever it holds. */
  diff: Buffer;
}

/** What differs from one tree to another: no renames, so that every touched path stands there by name. */
export async function changesBetween(mirror: Mirror, from: string, to: string): Promise<TreeChange> {
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

/** `:oldmode newmode oldblob newblob status NUL path NUL`, repeated. Links come with where they point. */
export async function changedPaths(mirror: Mirror, from: string, to: string): Promise<ChangedPath[]> {
  const fields = (await mirror.longLived.compare(from, to)).split('\0');
  const changes: ChangedPath[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [, mode, , blob] = fields[i]!.split(' ');
    const change: ChangedPath = { path: fields[i + 1]!, mode: mode === '000000' ? null : mode! };
    if (mode === '120000') change.linkTarget = (await mirror.longLived.content(blob!))?.content.toString();
    changes.push(change);
  }
  return changes;
}

export interface TreeEntry {
  mode: string;
  blob: string;
  path: string;
}

export async function listTree(mirror: Mirror, tree: string): Promise<TreeEntry[]> {
  const raw = await mirror.run({ args: ['ls-tree', '-r', '-z', '--full-tree', tree] });
  return raw
    .toString('utf8')
    .split('\0')
    .filter((line) => line !== '')
    .map((line) => {
      const tab = line.indexOf('\t');
      const [mode, , blob] = line.slice(0, tab).split(' ');
      return { mode: mode!, blob: blob!, path: line.slice(tab + 1) };
    });
}
