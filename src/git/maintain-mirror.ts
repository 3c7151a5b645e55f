import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tryLock } from '../lib/file-lock.ts';
import { removeTree } from '../lib/remove-tree.ts';
import type { Mirror } from './mirror.ts';
import { branchMarks, scratchOf } from './mirror-folder.ts';
import { TRACKING } from './remote.ts';

export interface MirrorSize {
  packs: number;
  looseObjects: number;
  sizeBytes: number;
}

export type Maintained = 'nothing' | 'gathered' | 'repacked';

/** Each fetch brings a pack and each landing a few loose objects; with 1,500 packs a call of git is 5 to 8 times slower. */
const MAX_PACKS = 20;
const MAX_LOOSE_OBJECTS = 500;
/** A mirror in use is left alone until it has this many times more. */
const BUSY_FACTOR = 2;
export const IDLE_MS = 1_000;
const GATHER_LIMIT_MS = 10 * 60_000;
const REPACK_LIMIT_MS = 60 * 60_000;
const DAY_MS = 24 * 3_600_000;
const REPACK_EVERY_MS = 7 * DAY_MS;
/** Longer than any task or gate may run: what a slot borrows is younger. Candidates are made again from the ledger. */
const UNREACHABLE_KEPT = '14.days.ago';
/** A branch that nothing landed on for so long keeps no objects; the next fetch brings them again. */
const UNUSED_BRANCH_MS = 30 * DAY_MS;
/** Private indexes, mails and half-written packs of processes that were killed. */
const STALE_MS = DAY_MS;

/**
 * Keeps a mirror fast: loose objects and small packs are gathered as they come (geometric, with a multi-pack index and
 * bitmaps), and once a week everything is repacked and what has long been unreachable is dropped. One process of the
 * machine at a time; nothing that landing does waits for it. Killed at any point it leaves a whole mirror behind, because
 * git removes old packs only after the new one is in place.
 */
export async function maintainMirror(mirror: Mirror, signal: AbortSignal): Promise<Maintained> {
  const due = await whatIsDue(mirror);
  if (due === 'nothing') return due;
  const lock = join(scratchOf(mirror.dir), 'maintenance.lock');
  if ((await tryLock(lock)) === undefined) return 'nothing';
  try {
    await removeLeftovers(mirror.dir);
    if (due === 'gathered') {
      const args = ['repack', '-q', '-d', '-l', '--geometric=2', '--write-midx', '--write-bitmap-index'];
      await mirror.run({ args, background: true, timeoutMs: GATHER_LIMIT_MS, signal });
    } else {
      await dropUnusedBranches(mirror);
      const args = ['repack', '-q', '-a', '-d', '-l', '--cruft', `--cruft-expiration=${UNREACHABLE_KEPT}`];
      const index = ['--write-midx', '--write-bitmap-index'];
      await mirror.run({ args: [...args, ...index], background: true, timeoutMs: REPACK_LIMIT_MS, signal });
      await writeFile(repackMark(mirror.dir), '');
    }
    return due;
  } finally {
    await rm(lock, { force: true });
  }
}

/** How much a mirror holds; zeros where there is none. */
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
  return { packs, looseObjects: files.filter((file) => /\/[0-9a-f]{2}\/[0-9a-f]+$/.test(file)).length };
}

async function objectFiles(mirrorDir: string): Promise<string[]> {
  const objects = join(mirrorDir, 'objects');
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
  const made = await ageMs(join(scratchOf(mirror.dir), 'generation'));
  const repacked = (await ageMs(repackMark(mirror.dir))) ?? made ?? 0;
  if (isIdle && repacked > REPACK_EVERY_MS) return 'repacked';
  const factor = isIdle ? 1 : BUSY_FACTOR;
  return packs > MAX_PACKS * factor || looseObjects > MAX_LOOSE_OBJECTS * factor ? 'gathered' : 'nothing';
}

/** What a maintenance or another process left that was killed. Only maintenance writes the multi-pack index. */
async function removeLeftovers(mirrorDir: string): Promise<void> {
  const packs = join(mirrorDir, 'objects', 'pack');
  await rm(join(packs, 'multi-pack-index.lock'), { force: true });
  const scratch = scratchOf(mirrorDir);
  const half = (await readdir(packs)).filter((name) => /^(\.tmp-|tmp_)/.test(name)).map((name) => join(packs, name));
  const own = (await readdir(scratch))
    .filter((name) => /^(index|mails)-/.test(name))
    .map((name) => join(scratch, name));
  for (const path of [...half, ...own]) if (((await ageMs(path)) ?? 0) > STALE_MS) await removeTree(path);
}

async function dropUnusedBranches(mirror: Mirror): Promise<void> {
  const listed = await mirror.text({ args: ['for-each-ref', '--format=%(refname)', TRACKING] });
  for (const ref of listed.split('\n').filter((name) => name !== '')) {
    const mark = join(branchMarks(mirror.dir), ref.slice(TRACKING.length + 1).replaceAll('/', '-'));
    if (((await ageMs(mark)) ?? Number.POSITIVE_INFINITY) <= UNUSED_BRANCH_MS) continue;
    await mirror.run({ args: ['update-ref', '-d', ref] });
    await rm(mark, { force: true });
  }
}

/** The branches whose objects a mirror keeps. */
export async function branchesOf(mirrorDir: string): Promise<string[]> {
  const marks = await readdir(branchMarks(mirrorDir)).catch(() => []);
  return Promise.all(marks.map((name) => readFile(join(branchMarks(mirrorDir), name), 'utf8')));
}

function repackMark(mirrorDir: string): string {
  return join(scratchOf(mirrorDir), 'repacked');
}

async function ageMs(file: string): Promise<number | undefined> {
  const stats = await stat(file).catch(() => undefined);
  return stats === undefined ? undefined : Date.now() - stats.mtimeMs;
}
