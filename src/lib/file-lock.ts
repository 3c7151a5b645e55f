import { link, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { identityOf, isRunning, type ProcessIdentity } from './process-identity.ts';

/** A lock without readable content was left by a process that died; it is removed at this age. */
const UNREADABLE_MS = 5_000;

/**
 * Takes a lock between the processes of one host; returns undefined while a living process holds it. The lock of a dead
 * process is removed, and the next call can take it. The holder releases it by `rm(lock)`.
 */
export async function tryLock(lock: string): Promise<true | undefined> {
  const mine = `${lock}.${process.pid}`;
  await writeFile(mine, JSON.stringify(await identityOf(process.pid)));
  try {
    // A hard link makes the lock appear together with its content.
    await link(mine, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const holder = await readIdentity(lock);
    const dead = holder === undefined ? await isOlderThan(lock, UNREADABLE_MS) : !(await isRunning(holder));
    if (dead) await rm(lock, { force: true });
    return undefined;
  } finally {
    await rm(mine, { force: true });
  }
}

/** Returns the process that a file names; undefined when there is none. */
export async function readIdentity(file: string): Promise<ProcessIdentity | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  try {
    return JSON.parse(text) as ProcessIdentity;
  } catch {
    return undefined;
  }
}

async function isOlderThan(file: string, ageMs: number): Promise<boolean> {
  const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: Date.now() }));
  return Date.now() - mtimeMs > ageMs;
}
