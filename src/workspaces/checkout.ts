import { existsSync, lstatSync } from 'node:fs';
import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Mirror } from '../git/mirror.ts';
import { landedObjects } from '../git/mirror-folder.ts';
import type { ObjectFormat } from '../git/object-store.ts';
import { changedPaths } from '../git/tree-changes.ts';
import { removeTree } from '../lib/remove-tree.ts';
import { giveFiles, giveFolder } from './give-to.ts';
import { differencesFrom, fileBelow, isInside, type Seal, sealFolder, signAgain } from './seal.ts';
import { forgetKept, type Slot, type SlotContent } from './slot.ts';

/**
 * Puts the files of a commit into the slot. Where the slot holds another commit of the same repository and the child's
 * changes were undone, only differing files are written; otherwise it starts from an empty folder. git runs in the
 * mirror with a private index and never reads the slot's own `.git`, which a child may have changed.
 */
export async function checkOut(mirror: Mirror, slot: Slot, commit: string): Promise<void> {
  const { content } = slot;
  slot.content = undefined;

  if (content?.mirrorDir === mirror.dir) {
    try {
      slot.content = await switchTo(mirror, slot, { content, commit });
      return;
    } catch {
      // A full check-out does not depend on whatever made the incremental one fail.
    }
  }
  slot.content = await startFromNothing(mirror, slot, commit);
}

async function startFromNothing(mirror: Mirror, slot: Slot, commit: string): Promise<SlotContent | undefined> {
  await removeTree(slot.work);
  await mkdir(slot.work, { recursive: true });
  await rm(slot.indexFile, { force: true });
  // A git process that was killed here may have left its lock.
  await rm(`${slot.indexFile}.lock`, { force: true });
  const where = { workTree: slot.work, indexFile: slot.indexFile };
  await mirror.run({ ...where, args: ['read-tree', commit] });
  await makeOwnRepository(mirror, slot);
  await Promise.all([
    mirror.run({ ...where, args: ['checkout-index', '--all', '--force', '--quiet', '-u'] }),
    mirror.packUnlanded(commit, join(slot.work, OBJECTS)),
  ]);
  await writeHead(slot, commit);
  await giveFolder(slot, slot.work);
  // Without a seal, for example of an unreadable folder, the next check-out starts from an empty folder.
  const seal = await sealFolder(slot.work).catch((): Seal | undefined => undefined);
  if (seal === undefined) return undefined;
  return { mirrorDir: mirror.dir, commit, seal, signedAtMs: Date.now(), kept: new Map() };
}

/**
 * Makes git ignore owner and ctime, because it would rewrite all files that were given to another user since. Changes
 * that a child made are detected by signature, so git need not look for them.
 */
const OWNERS_DIFFER = {
  GIT_CONFIG_COUNT: '2',
  GIT_CONFIG_KEY_0: 'core.trustctime',
  GIT_CONFIG_VALUE_0: 'false',
  GIT_CONFIG_KEY_1: 'core.checkStat',
  GIT_CONFIG_VALUE_1: 'minimal',
};

async function switchTo(
  mirror: Mirror,
  slot: Slot,
  { content, commit }: { content: SlotContent; commit: string },
): Promise<SlotContent> {
  const { seal, kept } = content;
  const changed = (await changedPaths(mirror, content.commit, commit)).map(({ path }) => path);
  const gone = [...(content.restore ?? [])];
  const where = { workTree: slot.work, indexFile: slot.indexFile, env: slot.uid === undefined ? {} : OWNERS_DIFFER };
  const readTree = { ...where, args: ['read-tree', '--reset', '-u', commit] };
  const [packs] = await Promise.all([
    commit === content.commit ? [] : changePacks(mirror, slot, commit),
    changed.length > 0 || gone.length > 0 ? mirror.run(readTree) : undefined,
  ]);
  await writeHead(slot, commit);
  const written = [...changed, ...gone, ...packs, '.git/HEAD', '.git/index'];
  await giveFiles(slot, written);
  signAgain(seal, slot.work, written);
  return { mirrorDir: mirror.dir, commit, seal, signedAtMs: Date.now(), kept };
}

/**
 * Undoes the changes of a child: removes what it added, and removes what it changed, which the next check-out writes
 * again. A kept path that it touched is removed as a whole. When something cannot be undone, the slot has no content,
 * and the next check-out starts from an empty folder.
 */
export async function takeBack(slot: Slot): Promise<void> {
  const { content } = slot;
  if (content === undefined) return;
  slot.content = undefined;
  const { seal, kept } = content;
  const { added, broken } = await differencesFrom(seal, slot.work);
  const touched = [...added, ...broken];
  if (touched.some((path) => path === '.git' || (path.startsWith('.git/') && path !== '.git/index'))) return;
  // A folder that exists and differs has another mode or is no folder, so its other changes are unknown.
  if (broken.some((path) => seal.get(path)!.startsWith('d ') && existsSync(fileBelow(slot.work, path)))) return;
  // Our copy of the index is written there, so it must be a file: writing to a pipe without a reader would block.
  if (!lstatSync(join(slot.work, '.git', 'index')).isFile()) return;
  const spoiled = [...kept.keys()].filter((folder) => touched.some((path) => isInside(path, folder)));
  for (const folder of spoiled) {
    await removeTree(join(slot.work, folder));
    forgetKept(content, folder);
  }
  const restore = broken.filter((path) => seal.has(path) && path !== '.git/index');
  for (const path of [...added, ...restore]) await removeTree(fileBelow(slot.work, path));
  for (const path of restore) seal.delete(path);
  // A folder that was removed with its files is written again with them.
  slot.content = { ...content, restore };
}

/**
 * Creates a small repository for the child alone, without git: landed objects borrowed from the mirror, no remote, no
 * hooks, HEAD detached at the commit. A child may change it freely.
 */
async function makeOwnRepository(mirror: Mirror, slot: Slot): Promise<void> {
  const git = join(slot.work, '.git');
  await mkdir(join(git, 'objects', 'info'), { recursive: true });
  await mkdir(join(slot.work, PACKS), { recursive: true });
  await mkdir(join(git, 'refs', 'heads'), { recursive: true });
  await writeFile(join(git, 'objects', 'info', 'alternates'), `${landedObjects(mirror.dir)}\n`);
  await writeFile(join(git, 'config'), ownConfig(await mirror.objectFormat()));
}

const OBJECTS = join('.git', 'objects');
const PACKS = join(OBJECTS, 'pack');

/** Replaces the unlanded objects with those of another commit. Returns the paths that came or went. */
async function changePacks(mirror: Mirror, slot: Slot, commit: string): Promise<string[]> {
  const folder = join(slot.work, PACKS);
  const before = await readdir(folder);
  for (const name of before) await rm(join(folder, name), { force: true });
  await mirror.packUnlanded(commit, join(slot.work, OBJECTS));
  return [...before, ...(await readdir(folder))].map((name) => join(PACKS, name));
}

async function writeHead(slot: Slot, commit: string): Promise<void> {
  await writeFile(join(slot.work, '.git', 'HEAD'), `${commit}\n`);
  await copyFile(slot.indexFile, join(slot.work, '.git', 'index'));
}

function ownConfig(format: ObjectFormat): string {
  const sha256 = '[extensions]\n\tobjectformat = sha256\n';
  return `[core]
\trepositoryformatversion = ${format === 'sha256' ? 1 : 0}
\tfilemode = true
\tbare = false
[user]
\tname = Sluice tool
\temail = tool@sluice.invalid
${format === 'sha256' ? sha256 : ''}`;
}
