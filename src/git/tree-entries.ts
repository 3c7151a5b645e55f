import { SluiceError } from '../contract/errors.ts';
import { pathFromBytes, pathToBytes } from '../lib/byte-path.ts';
import type { Mirror } from './mirror.ts';
import { listTree, splitAtNul, type TreeEntry } from './tree-changes.ts';

/** Returns the tree with these entries; mode `0` removes a path. Throws `path.refused` for a name that git refuses. */
export async function treeWithEntries(
  mirror: Mirror,
  { tree, entries }: { tree: string; entries: readonly TreeEntry[] },
): Promise<string> {
  const nothing = '0'.repeat((await mirror.objectFormat()) === 'sha256' ? 64 : 40);
  return mirror.withIndex(async (indexFile) => {
    await mirror.run({ args: ['read-tree', tree], indexFile });
    // Removals come first, because a folder may replace a removed file of the same name.
    const ordered = entries.toSorted((a, b) => Number(a.mode !== '0') - Number(b.mode !== '0'));
    const lines = ordered.map(({ mode, blob, path }) =>
      Buffer.concat([Buffer.from(`${mode} ${mode === '0' ? nothing : blob}\t`), pathToBytes(path), Buffer.from('\0')]),
    );
    const stdin = Buffer.concat(lines);
    await mirror.run({ args: ['update-index', '--add', '--replace', '-z', '--index-info'], indexFile, stdin });
    await assertEntered(mirror, indexFile, entries);
    return mirror.text({ args: ['write-tree'], indexFile });
  });
}

/** `--index-info` exits 0 after skipping a path that git refuses, and a partial change must not land. */
async function assertEntered(mirror: Mirror, indexFile: string, entries: readonly TreeEntry[]): Promise<void> {
  const written = entries.filter(({ mode }) => mode !== '0');
  if (written.length === 0) return;
  const listed = splitAtNul(await mirror.run({ args: ['ls-files', '--stage', '-z'], indexFile }));
  const entered = new Set(listed.map((line) => pathFromBytes(line.subarray(line.indexOf('\t') + 1))));
  const missing = written.find(({ path }) => !entered.has(path));
  if (missing === undefined) return;
  throw new SluiceError('path.refused', `git does not allow the path ${JSON.stringify(missing.path)}`, {
    facts: { path: missing.path },
  });
}

/** Returns the tree with its pinned paths as in another commit: changed ones are restored, added ones removed. */
export async function treeWithPinned(
  mirror: Mirror,
  { tree, pinnedFrom, isPinned }: { tree: string; pinnedFrom: string; isPinned: (path: string) => boolean },
): Promise<string> {
  const theirs = (await listTree(mirror, pinnedFrom)).filter(({ path }) => isPinned(path));
  const ours = (await listTree(mirror, tree)).filter(({ path }) => isPinned(path));
  const keyOf = ({ mode, blob, path }: TreeEntry): string => `${mode} ${blob} ${path}`;
  const [known, here] = [new Set(theirs.map(({ path }) => path)), new Set(ours.map(keyOf))];
  const removals = ours.filter(({ path }) => !known.has(path)).map(({ path }) => ({ mode: '0', blob: '', path }));
  const restored = theirs.filter((entry) => !here.has(keyOf(entry)));
  return treeWithEntries(mirror, { tree, entries: [...removals, ...restored] });
}
