import { SluiceError } from '../contract/errors.ts';
import type { InlineFile } from '../contract/patch-input.ts';
import { machineFault } from '../lib/machine-fault.ts';
import type { Mirror } from './mirror.ts';
import { listTree, type TreeEntry } from './tree-changes.ts';

export type BuiltTree = { ok: true; tree: string } | { ok: false; malformed: boolean; words: string };

/**
 * Applies a diff to a commit's tree in a private index, exactly: no fuzz, no merge. Hunks without context go by their line
 * numbers, so the base must be the commit that the diff was made on.
 */
export async function treeFromDiff(
  mirror: Mirror,
  {
    base,
    diff,
    strip,
    withoutContext = false,
  }: { base: string; diff: Buffer; strip: number; withoutContext?: boolean },
): Promise<BuiltTree> {
  return mirror.withIndex(async (indexFile) => {
    await mirror.run({ args: ['read-tree', base], indexFile });
    const { exitCode, stderr } = await mirror.ask({
      args: [
        'apply',
        '--cached',
        '--whitespace=nowarn',
        ...(withoutContext ? ['--unidiff-zero'] : []),
        `-p${strip}`,
        '-',
      ],
      indexFile,
      stdin: diff,
    });
    assertRoom(stderr);
    if (exitCode !== 0) return { ok: false, malformed: isMalformed(exitCode, stderr), words: stderr };
    return { ok: true, tree: await mirror.text({ args: ['write-tree'], indexFile }) };
  });
}

/** What this machine lacks says nothing of the diff. Only lines that speak of git itself: others may quote a name that the diff chose. */
function assertRoom(words: string): void {
  const message = words
    .split('\n')
    .filter((line) => line.startsWith('fatal: '))
    .join('\n');
  if (machineFault({ message }) !== undefined) throw new SluiceError('git.failed', `git apply: ${message}`);
}

function isMalformed(exitCode: number, words: string): boolean {
  return exitCode >= 128 || /corrupt patch|No valid patches|unrecognized input|fragment without header/.test(words);
}

/** Writes, replaces and removes whole files. */
export async function treeFromFiles(
  mirror: Mirror,
  { base, files }: { base: string; files: readonly InlineFile[] },
): Promise<BuiltTree> {
  const known = new Map((await listTree(mirror, base)).map((entry) => [entry.path, entry]));
  const collision = collisionOf(files, [...known.keys()]);
  if (collision !== undefined) return { ok: false, malformed: false, words: collision };
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

/** Writing one path must not silently take another away: what goes is named with `delete`. */
function collisionOf(files: readonly InlineFile[], known: readonly string[]): string | undefined {
  const names = new Set<string>();
  for (const { path } of files) {
    if (names.has(path)) return `${path} is given twice`;
    names.add(path);
  }
  const deleted = new Set(files.filter((file) => file.delete === true).map(({ path }) => path));
  const written = files.filter(({ path }) => !deleted.has(path)).map(({ path }) => path);
  const staying = new Set([...known.filter((path) => !deleted.has(path)), ...written]);
  const folders = new Set([...staying].flatMap(foldersAbove));
  const both = written.find((path) => folders.has(path) || foldersAbove(path).some((folder) => staying.has(folder)));
  return both === undefined ? undefined : `${both} would be a file and a folder at once: delete what has to go`;
}

function foldersAbove(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
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
    await assertEntered(mirror, indexFile, entries);
    return mirror.text({ args: ['write-tree'], indexFile });
  });
}

/** `--index-info` passes over a path that git does not allow, and exits 0: half of a change must not go on. */
async function assertEntered(mirror: Mirror, indexFile: string, entries: readonly TreeEntry[]): Promise<void> {
  const listed = await mirror.run({ args: ['ls-files', '--stage', '-z'], indexFile });
  const entered = new Set(
    listed
      .toString('utf8')
      .split('\0')
      .map((line) => line.slice(line.indexOf('\t') + 1)),
  );
  const missing = entries.find(({ mode, path }) => mode !== '0' && !entered.has(path));
  if (missing !== undefined)
    throw new SluiceError('git.failed', `git does not take the path ${JSON.stringify(missing.path)}`);
}

/** The candidate with the pinned paths as another commit has them: changed ones put back, added ones taken out. */
export async function treeWithPinned(
  mirror: Mirror,
  { tree, pinnedFrom, isPinned }: { tree: string; pinnedFrom: string; isPinned: (path: string) => boolean },
): Promise<string> {
  const theirs = (await listTree(mirror, pinnedFrom)).filter(({ path }) => isPinned(path));
  const ours = (await listTree(mirror, tree)).filter(({ path }) => isPinned(path));
  const keyOf = ({ mode, blob, path }: TreeEntry): string => `${mode} ${blob} ${path}`;
  const [known, here] = [new Set(theirs.map(({ path }) => path)), new Set(ours.map(keyOf))];
  const removals = ours
    .filter(({ path }) => !known.has(path))
    .map(({ path }) => ({ mode: '0', blob: '0'.repeat(40), path }));
  const restored = theirs.filter((entry) => !here.has(keyOf(entry)));
  return treeWithEntries(mirror, { tree, entries: [...removals, ...restored] });
}
