import type { InlineFile } from '../contract/patch-input.ts';
import type { Mirror } from './mirror.ts';
import { listTree, type TreeEntry } from './tree-changes.ts';

export type BuiltTree = { ok: true; tree: string } | { ok: false; malformed: boolean; words: string };

/** Applies a diff to a commit's tree in a private index, exactly: no fuzz, no merge. */
export async function treeFromDiff(
  mirror: Mirror,
  { base, diff, strip }: { base: string; diff: Buffer; strip: number },
): Promise<BuiltTree> {
  return mirror.withIndex(async (indexFile) => {
    await mirror.run({ args: ['read-tree', base], indexFile });
    const { exitCode, stderr } = await mirror.ask({
      args: ['apply', '--cached', '--whitespace=nowarn', `-p${strip}`, '-'],
      indexFile,
      stdin: diff,
    });
    if (exitCode !== 0) return { ok: false, malformed: isMalformed(exitCode, stderr), words: stderr };
    return { ok: true, tree: await mirror.text({ args: ['write-tree'], indexFile }) };
  });
}

function isMalformed(exitCode: number, words: string): boolean {
  return exitCode === 128 || /corrupt patch|No valid patches|unrecognized input|fragment without header/.test(words);
}

/** Writes, replaces and removes whole files. */
export async function treeFromFiles(
  mirror: Mirror,
  { base, files }: { base: string; files: readonly InlineFile[] },
): Promise<BuiltTree> {
  const known = new Map((await listTree(mirror, base)).map((entry) => [entry.path, entry]));
  const changes: TreeEntry[] = [];
  for (const file of files) {
    if (file.delete === true) {
      if (!known.has(file.path)) return { ok: false, malformed: false, words: `no such file: ${file.path}` };
      changes.push({ mode: '0', blob: '0'.repeat(40), path: file.path });
      continue;
    }
    const stdin =
      file.content === undefined ? Buffer.from(file.content_base64 ?? '', 'base64') : Buffer.from(file.content);
    const blob = await mirror.text({ args: ['hash-object', '-w', '--no-filters', '--stdin'], stdin });
    changes.push({ mode: file.mode ?? known.get(file.path)?.mode ?? '100644', blob, path: file.path });
  }
  return { ok: true, tree: await treeWithEntries(mirror, { tree: base, entries: changes }) };
}

/** A tree with these entries put in; mode `0` removes a path. */
export async function treeWithEntries(
  mirror: Mirror,
  { tree, entries }: { tree: string; entries: readonly TreeEntry[] },
): Promise<string> {
  return mirror.withIndex(async (indexFile) => {
    await mirror.run({ args: ['read-tree', tree], indexFile });
    // Removals first: a file may give way to a folder of its name.
    const ordered = entries.toSorted((a, b) => Number(a.mode !== '0') - Number(b.mode !== '0'));
    const stdin = ordered.map(({ mode, blob, path }) => `${mode} ${blob}\t${path}\0`).join('');
    await mirror.run({ args: ['update-index', '--add', '--replace', '-z', '--index-info'], indexFile, stdin });
    return mirror.text({ args: ['write-tree'], indexFile });
  });
}

/** The candidate with the pinned paths as another commit has them: changed ones put back, added ones taken out. */
export async function treeWithPinned(
  mirror: Mirror,
  { tree, pinnedFrom, isPinned }: { tree: string; pinnedFrom: string; isPinned: (path: string) => boolean },
): Promise<string> {
  const theirs = (await listTree(mirror, pinnedFrom)).filter(({ path }) => isPinned(path));
  const kept = new Set(theirs.map(({ path }) => path));
  const added = (await listTree(mirror, tree)).filter(({ path }) => isPinned(path) && !kept.has(path));
  const removals = added.map(({ path }) => ({ mode: '0', blob: '0'.repeat(40), path }));
  return treeWithEntries(mirror, { tree, entries: [...removals, ...theirs] });
}
