import { lstat, rm } from 'node:fs/promises';
import { runChild } from './process.ts';

const LIMIT_MS = 5 * 60_000;
const PROGRAMS = { PATH: '/usr/local/bin:/usr/bin:/bin' };

/**
 * Removes a folder with all in it, also where a tool took its own permissions away or nested folders deeper than a path may
 * be long. Never follows links. Throws when something is left.
 */
export async function removeTree(path: string | Buffer): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    await removeRelatively(path.toString());
    if (await isThere(path)) throw error;
  }
}

/** `rm` and `chmod` walk by open folders, so no path is too long for them. */
async function removeRelatively(path: string): Promise<void> {
  for (const argv of [
    ['chmod', '-R', 'u+rwX', '--', path],
    ['rm', '-rf', '--', path],
  ]) {
    await runChild({ argv, cwd: '/', env: PROGRAMS, timeoutMs: LIMIT_MS });
  }
}

function isThere(path: string | Buffer): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
