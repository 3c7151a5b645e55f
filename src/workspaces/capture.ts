import { hasCode } from '../contract/errors.ts';
import type { Reason } from '../contract/reasons.ts';
import type { Refusal } from '../domain/path-rules.ts';
import type { Mirror } from '../git/mirror.ts';
import { changesBetween, listTree, type TreeChange, type TreeEntry } from '../git/tree-changes.ts';
import { foldersAbove, MODES } from '../git/tree-draft.ts';
import { treeWithEntries } from '../git/tree-entries.ts';
import { differencesFrom, isInside, isSealedFile, type Seal, sealFolder } from './seal.ts';
import type { Slot, SlotContent } from './slot.ts';
import { ignoredAmong, storeFile } from './worktree-files.ts';

export interface CapturedChange extends TreeChange {
  ok: true;
  baseTree: string;
  tree: string;
  /** New files and folders that `.gitignore` leaves out, and new pipes and sockets; kept paths are not among them. */
  ignored: string[];
}

/** Result for a work tree that git cannot store as a change. */
export interface Uncapturable {
  ok: false;
  refusal: Refusal;
}

const REPOSITORY = /(^|\/)\.git(\/|$)/;

/**
 * Returns the difference between a commit's tree and the files in the slot, whatever a tool did to HEAD, index or
 * branches. Files whose signature is still that of the check-out are not read again. Ignored files and kept paths are
 * left out.
 */
export async function captureChange(
  mirror: Mirror,
  slot: Slot,
  { base, keptPaths }: { base: string; keptPaths: readonly string[] },
): Promise<CapturedChange | Uncapturable> {
  const now = await sealFolder(slot.work).catch((error: NodeJS.ErrnoException) => error);
  if (now instanceof Error) {
    return uncapturable('not_capturable', '.', `the work tree cannot be read: ${now.code ?? now.message}`);
  }
  const isKept = (path: string): boolean => keptPaths.some((kept) => isInside(path, kept));
  const files = [...now.keys()].filter((path) => isSealedFile(now, path) && !isInside(path, '.git') && !isKept(path));
  const entries = (await listTree(mirror, base)).filter(({ path }) => !isKept(path));
  const tracked = new Map(entries.map((entry) => [entry.path, entry]));
  const found = await addedFiles(mirror, slot, { now, files, tracked });
  if ('refusal' in found) return { ok: false, refusal: found.refusal };
  const changed = files.filter((path) => tracked.has(path) && isChanged(slot, now, path));
  const stored = await storeAll(mirror, slot, [...changed, ...found.added]);
  if ('refusal' in stored) return { ok: false, refusal: stored.refusal };
  const here = new Set(files);
  const removed = entries.filter(({ path, mode }) => !here.has(path) && mode !== MODES.submodule);
  const all = [...removed.map(removal), ...stored.entries];
  return finish(mirror, { base, entries: all, ignored: found.ignored });
}

/** Returns the new files of the change and those that are left out, or a refusal when one is not allowed. */
async function addedFiles(
  mirror: Mirror,
  slot: Slot,
  { now, files, tracked }: { now: Seal; files: readonly string[]; tracked: ReadonlyMap<string, TreeEntry> },
): Promise<{ added: string[]; ignored: string[] } | { refusal: Refusal }> {
  const beneath = submoduleWithFiles(tracked, files);
  if (beneath !== undefined) {
    return refuse('submodule_entry', beneath, 'there are files inside a submodule, and submodules are not supported');
  }
  const untracked = files.filter((path) => !tracked.has(path));
  const left = await leftOut(mirror, slot, { now, untracked, tracked });
  if ('unreadable' in left)
    return refuse('not_capturable', left.unreadable, 'it is not a regular file, and git would read its rules');
  const rest = untracked.filter((path) => !left.covers(path));
  // git cannot store pipes, sockets and devices: they are left out and named, as ignored files are.
  const added = rest.filter((path) => isSealedFile(now, path) === 'plain');
  const odd = rest.filter((path) => isSealedFile(now, path) === 'odd');
  const embedded = added.find((path) => REPOSITORY.test(path));
  if (embedded === undefined) return { added, ignored: [...left.names, ...odd].toSorted() };
  const folder = embedded.replace(/\/?\.git(\/.*)?$/s, '');
  return refuse('embedded_repository', folder, 'the folder is a git repository of its own; remove its .git');
}

async function finish(
  mirror: Mirror,
  { base, entries, ignored }: { base: string; entries: readonly TreeEntry[]; ignored: string[] },
): Promise<CapturedChange | Uncapturable> {
  const baseTree = await mirror.treeOf(base);
  try {
    const tree = entries.length === 0 ? baseTree : await treeWithEntries(mirror, { tree: base, entries });
    return { ok: true, baseTree, tree, ignored, ...(await changesBetween(mirror, baseTree, tree)) };
  } catch (error) {
    if (!hasCode(error, 'path.refused')) throw error;
    return uncapturable('unsafe_path', String(error.facts.path), 'git does not allow a file of this name');
  }
}

/**
 * Returns the tree that was checked out with the files as they are now: another id means that a gate changed them.
 * Contents are read again only if a signature differs. Undefined when the files cannot be read or stored.
 */
export async function rereadTree(mirror: Mirror, slot: Slot, commit: string): Promise<string | undefined> {
  if (slot.content?.commit === commit && (await isUntouched(slot, slot.content))) return mirror.treeOf(commit);
  const now = await sealFolder(slot.work).catch(() => undefined);
  if (now === undefined) return undefined;
  const tracked = (await listTree(mirror, commit)).filter(({ mode }) => mode !== MODES.submodule);
  const gone = tracked.filter(({ path }) => !isSealedFile(now, path));
  const changed = tracked
    .map(({ path }) => path)
    .filter((path) => isSealedFile(now, path) && isChanged(slot, now, path));
  const stored = await storeAll(mirror, slot, changed);
  if ('refusal' in stored) return undefined;
  const all = [...gone.map(removal), ...stored.entries];
  return all.length === 0 ? mirror.treeOf(commit) : treeWithEntries(mirror, { tree: commit, entries: all });
}

/** True when no file of the commit changed. Kept paths and the child's own repository are not part of the tree. */
async function isUntouched({ work }: Slot, { seal, kept }: SlotContent): Promise<boolean> {
  try {
    const { broken } = await differencesFrom(seal, work);
    const beside = ['.git', ...kept.keys()];
    return broken.every((path) => beside.some((folder) => isInside(path, folder)));
  } catch {
    return false;
  }
}

function isChanged({ content }: Slot, now: Seal, path: string): boolean {
  return content?.seal.get(path) !== now.get(path);
}

function removal({ path }: TreeEntry): TreeEntry {
  return { mode: '0', blob: '', path };
}

function submoduleWithFiles(tracked: ReadonlyMap<string, TreeEntry>, files: readonly string[]): string | undefined {
  const submodules = [...tracked.values()].filter(({ mode }) => mode === MODES.submodule).map(({ path }) => path);
  return submodules.find((path) => files.some((file) => isInside(file, path)));
}

/** Finds untracked files that `.gitignore` leaves out. A wholly ignored new folder is named instead of its files. */
async function leftOut(
  mirror: Mirror,
  { work }: Slot,
  { now, untracked, tracked }: { now: Seal; untracked: readonly string[]; tracked: ReadonlyMap<string, TreeEntry> },
): Promise<{ names: string[]; covers: (path: string) => boolean } | { unreadable: string }> {
  const rules = [...now.keys()].find((path) => /(^|\/)\.gitignore$/.test(path) && !isPlain(now, path));
  if (rules !== undefined) return { unreadable: rules };
  const known = new Set([...tracked.keys()].flatMap(foldersAbove));
  const topOf = (path: string): string => foldersAbove(path).find((folder) => !known.has(folder)) ?? path;
  const tops = await ignoredAmong(mirror, work, [...new Set(untracked.map(topOf))]);
  const rest = untracked.filter((path) => !tops.has(topOf(path)) && !REPOSITORY.test(path));
  const files = await ignoredAmong(mirror, work, rest);
  return { names: [...tops, ...files], covers: (path) => tops.has(topOf(path)) || files.has(path) };
}

/** False for a pipe, a socket or a device: git opens any file of this name, and would wait for a pipe. */
function isPlain(now: Seal, path: string): boolean {
  return !isSealedFile(now, path) || isSealedFile(now, path) === 'plain';
}

async function storeAll(
  mirror: Mirror,
  { work }: Slot,
  paths: readonly string[],
): Promise<{ entries: TreeEntry[] } | { refusal: Refusal }> {
  const entries: TreeEntry[] = [];
  for (const path of paths) {
    const file = await storeFile(mirror, work, path);
    if ('unstorable' in file) return refuse('not_capturable', path, `it is ${file.unstorable}`);
    entries.push({ ...file, path });
  }
  return { entries };
}

function refuse(reason: Reason, path: string, problem: string): { refusal: Refusal } {
  return { refusal: { reason, evidence: { path, messages: `${path}: ${problem}` } } };
}

function uncapturable(reason: Reason, path: string, problem: string): Uncapturable {
  return { ok: false, ...refuse(reason, path, problem) };
}
