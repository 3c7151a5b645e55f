import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { tryLock } from '../lib/file-lock.ts';
import { removeTree } from '../lib/remove-tree.ts';
import type { Mirror } from './mirror.ts';
import {
  branchMarks,
  generationFile,
  landedObjects,
  scratchOf,
  trackingRefs,
  unlandedObjects,
} from './mirror-folder.ts';

export interface MirrorSize {
  packs: number;
  looseObjects: number;
  sizeBytes: number;
}

export type Maintained = 'nothing' | 'tidied' | 'gathered' | 'repacked';

/** Each fetch adds a pack and each change a few loose objects. With 1,500 packs a git call is 5 to 8 times slower. */
const MAX_PACKS = 20;
const MAX_LOOSE_OBJECTS = 500;
/** A mirror in use is left alone until it exceeds the limits by this factor. */
const BUSY_FACTOR = 2;
export const IDLE_MS = 1_000;
const GATHER_LIMIT_MS = 10 * 60_000;
const REPACK_LIMIT_MS = 60 * 60_000;
const TIDY_EVERY_MS = 10 * 60_000;
const DAY_MS = 24 * 3_600_000;
const REPACK_EVERY_MS = 7 * DAY_MS;
/** Longer than any task or gate runs, so no slot borrows a dropped object. Candidates can be rebuilt. */
const UNREACHABLE_KEPT_DAYS = 14;
/** Far longer than a candidate lives: a new candidate may reuse blobs of a patch that has waited for weeks. */
const UNLANDED_KEPT_DAYS = 90;
/** A branch whose tip is not looked up for this long loses its reference; the next fetch brings it back. */
const UNUSED_BRANCH_MS = 30 * DAY_MS;
/** Age at which private indexes, mails and half-written packs count as left by a killed process. */
const STALE_MS = DAY_MS;
/** Includes the `tmp_obj_` files of interrupted writes, unlike LOOSE. */
const FANNED_OUT = /\/[0-9a-f]{2}\/[^/]+$/;
const LOOSE = /\/[0-9a-f]{2}\/[0-9a-f]+$/;

/**
 * Keeps a mirror fast. Small packs are combined as they come (geometric repack, multi-pack index, bitmaps); a weekly
 * repack drops objects that have long been unreachable. Unlanded objects stay loose until they land or expire. One
 * process of the host maintains at a time, and landing never waits for it. A kill at any point leaves an intact mirror,
 * because git removes old packs only after the new one is in place.
 */
export async function maintainMirror(mirror: Mirror, signal: AbortSignal): Promise<Maintained> {
  const due = await whatIsDue(mirror);
  if (due === 'nothing') return due;
  const lock = join(scratchOf(mirror.dir), 'maintenance.lock');
  if ((await tryLock(lock)) === undefined) return 'nothing';
  try {
    await removeLeftovers(mirror.dir);
    const repack = { gitDir: mirror.dir, background: true, signal };
    if (due === 'gathered') {
      const args = ['repack', '-q', '-d', '-l', '--geometric=2', '--write-midx', '--write-bitmap-index'];
      await mirror.git.run({ ...repack, args, timeoutMs: GATHER_LIMIT_MS });
    } else if (due === 'repacked') {
      await dropUnusedBranches(mirror);
      const args = [
        'repack',
        '-q',
        '-a',
        '-d',
        '-l',
        '--cruft',
        `--cruft-expiration=${UNREACHABLE_KEPT_DAYS}.days.ago`,
      ];
      const index = ['--write-midx', '--write-bitmap-index'];
      await mirror.git.run({ ...repack, args: [...args, ...index], timeoutMs: REPACK_LIMIT_MS });
      await writeFile(repackMark(mirror.dir), '');
    }
    await tidyUnlanded(mirror, signal);
    return due;
  } finally {
    await rm(lock, { force: true });
  }
}

/** Removes loose objects that the landed packs hold too, and unlanded ones that are older than any work in progress. */
async function tidyUnlanded(mirror: Mirror, signal: AbortSignal): Promise<void> {
  await mirror.run({ args: ['prune-packed', '-q'], background: true, timeoutMs: GATHER_LIMIT_MS, signal });
  for (const file of await filesBelow(unlandedObjects(mirror.dir))) {
    if (FANNED_OUT.test(file) && ((await ageMs(file)) ?? 0) > UNLANDED_KEPT_DAYS * DAY_MS)
      await rm(file, { force: true });
  }
  await writeFile(tidyMark(mirror.dir), '');
}

/** Returns the size of a mirror; zeros when there is no mirror. */
export async function sizeOfMirror(mirrorDir: string): Promise<MirrorSize> {
  const files = await objectFiles(mirrorDir);
  const sizes = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return { ...countOf(files), sizeBytes: sizes.reduce((sum, size) => sum + size, 0) };
}

function countOf(files: readonly string[]): { packs: number; looseObjects: number } {
  const packs = files.filter((file) => file.endsWith('.pack')).length;
  return { packs, looseObjects: files.filter((file) => LOOSE.test(file)).length };
}

/** Lists the files of landed and unlanded objects. */
async function objectFiles(mirrorDir: string): Promise<string[]> {
  const both = [landedObjects(mirrorDir), unlandedObjects(mirrorDir)];
  return (await Promise.all(both.map(filesBelow))).flat();
}

async function filesBelow(objects: string): Promise<string[]> {
  const folders = await readdir(objects).catch(() => []);
  const files = folders.map(async (folder) => {
    const names = await readdir(join(objects, folder)).catch(() => []);
    return names.map((name) => join(objects, folder, name));
  });
  return (await Promise.all(files)).flat();
}

async function whatIsDue(mirror: Mirror): Promise<Maintained> {
  const { packs, looseObjects } = countOf(await objectFiles(mirror.dir));
  const isIdle = mirror.idleForMs() >= IDLE_MS;
  const made = await ageMs(generationFile(mirror.dir));
  const repacked = (await ageMs(repackMark(mirror.dir))) ?? made ?? 0;
  if (isIdle && repacked > REPACK_EVERY_MS) return 'repacked';
  const factor = isIdle ? 1 : BUSY_FACTOR;
  if (packs > MAX_PACKS * factor) return 'gathered';
  const tidied = (await ageMs(tidyMark(mirror.dir))) ?? Number.POSITIVE_INFINITY;
  return looseObjects > MAX_LOOSE_OBJECTS * factor && tidied > TIDY_EVERY_MS ? 'tidied' : 'nothing';
}

/**
 * Removes files that a killed process left behind. The lock of the multi-pack index goes at any age, because only
 * maintenance takes it and only one maintenance runs.
 */
async function removeLeftovers(mirrorDir: string): Promise<void> {
  const packs = join(landedObjects(mirrorDir), 'pack');
  await rm(join(packs, 'multi-pack-index.lock'), { force: true });
  const scratch = scratchOf(mirrorDir);
  const half = (await readdir(packs)).filter((name) => /^(\.tmp-|tmp_)/.test(name)).map((name) => join(packs, name));
  const own = (await readdir(scratch))
    .filter((name) => /^(index|mails)-/.test(name))
    .map((name) => join(scratch, name));
  for (const path of [...half, ...own]) if (((await ageMs(path)) ?? 0) > STALE_MS) await removeTree(path);
}

async function dropUnusedBranches(mirror: Mirror): Promise<void> {
  for (const ref of await trackingRefs(mirror.dir)) {
    const mark = join(branchMarks(mirror.dir), basename(ref));
    if (((await ageMs(mark)) ?? Number.POSITIVE_INFINITY) <= UNUSED_BRANCH_MS) continue;
    await mirror.run({ args: ['update-ref', '-d', ref] });
    await rm(mark, { force: true });
  }
}

/** Lists the branches whose objects a mirror keeps. */
export async function branchesOf(mirrorDir: string): Promise<string[]> {
  const marks = await readdir(branchMarks(mirrorDir)).catch(() => []);
  return Promise.all(marks.map((name) => readFile(join(branchMarks(mirrorDir), name), 'utf8')));
}

function tidyMark(mirrorDir: string): string {
  return join(scratchOf(mirrorDir), 'tidied');
}

function repackMark(mirrorDir: string): string {
  return join(scratchOf(mirrorDir), 'repacked');
}

async function ageMs(file: string): Promise<number | undefined> {
  const stats = await stat(file).catch(() => undefined);
  return stats === undefined ? undefined : Date.now() - stats.mtimeMs;
}
