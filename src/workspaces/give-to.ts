import { lchown } from 'node:fs/promises';
import { runChild } from '../lib/process.ts';
import { fileBelow, withParents } from './seal.ts';
import type { Slot } from './slot.ts';

const LIMIT_MS = 5 * 60_000;
const PROGRAMS = { PATH: '/usr/local/bin:/usr/bin:/bin' };

/** Gives written files to the slot's user, if it has one. Must run before they are signed: it changes their ctime. */
export async function giveFiles({ uid, work }: Slot, paths: Iterable<string>): Promise<void> {
  if (uid === undefined) return;
  for (const path of withParents(paths)) {
    await lchown(fileBelow(work, path), uid, uid).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
}

/** Does the same for a folder with everything in it. Never follows links. */
export async function giveFolder({ uid }: Slot, folder: string): Promise<void> {
  if (uid === undefined) return;
  const argv = ['chown', '--recursive', '--no-dereference', `${uid}:${uid}`, '--', folder];
  const { ending, stderr } = await runChild({ argv, cwd: '/', env: PROGRAMS, timeoutMs: LIMIT_MS });
  if (ending.kind !== 'exited' || ending.exitCode !== 0) throw new Error(`chown: ${stderr.toString('utf8').trim()}`);
}
