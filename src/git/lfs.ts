import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChangedPath } from '../domain/path-rules.ts';
import { pathFromBytes, pathToBytes } from '../lib/byte-path.ts';
import type { Mirror } from './mirror.ts';
import { scratchOf } from './mirror-folder.ts';
import { splitAtNul } from './tree-changes.ts';

const POINTER = 'version https://git-lfs.github.com/spec/v1\n';
const MAX_POINTER_BYTES = 1_024;

/**
 * Returns the first changed path that the tree's attributes assign to Git LFS and whose new content is no LFS pointer.
 * Sluice has no LFS store, so it refuses such content: other clones expect a pointer there.
 */
export async function contentInsteadOfPointer(
  mirror: Mirror,
  tree: string,
  changed: readonly ChangedPath[],
): Promise<string | undefined> {
  const attributes = await mirror.attributesOf(tree);
  const present = changed.filter(({ mode }) => mode?.startsWith('100')).map(({ path }) => path);
  if (attributes === undefined || present.length === 0) return undefined;
  for (const path of await lfsPaths(mirror, attributes, present)) {
    const { id } =
      (await mirror.run({ args: ['ls-tree', '-z', '--full-tree', tree, '--', path], env: LITERAL }).then(entryOf)) ??
      {};
    const content = id === undefined ? undefined : await mirror.longLived.content(id);
    const isPointer =
      content !== undefined &&
      content.content.length <= MAX_POINTER_BYTES &&
      content.content.toString('latin1').startsWith(POINTER);
    if (!isPointer) return path;
  }
  return undefined;
}

const LITERAL = { GIT_LITERAL_PATHSPECS: '1' };

function entryOf(listed: Buffer): { id: string } | undefined {
  const id = listed.toString('latin1').split(/[ \t]/)[2];
  return id === undefined ? undefined : { id };
}

/** Runs in an empty repository, because the mirror's own attributes switch off every filter. */
async function lfsPaths(mirror: Mirror, attributes: string, paths: readonly string[]): Promise<string[]> {
  const empty = join(scratchOf(mirror.dir), 'empty.git');
  await mkdir(empty, { recursive: true });
  await mirror.git.run({ args: ['init', '--bare', '--quiet', empty] });
  const stdin = Buffer.concat(paths.flatMap((path) => [pathToBytes(path), Buffer.from('\0')]));
  const args = ['check-attr', '--stdin', '-z', 'filter'];
  const parts = splitAtNul(await mirror.git.run({ args, gitDir: empty, workTree: attributes, stdin }));
  const found: string[] = [];
  for (let at = 0; at + 2 < parts.length; at += 3) {
    if (parts[at + 2]!.toString() === 'lfs') found.push(pathFromBytes(parts[at]!));
  }
  return found;
}
