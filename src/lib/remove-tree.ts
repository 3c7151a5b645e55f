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
  } catch (cause) {
    const words = await removeRelatively(path.toString());
    if (await isThere(path)) throw new Error(words || (cause as Error).message, { cause });
  }
}

/** `rm` and `chmod` walk by open folders, so no path is too long for them. Gives the first line of what `rm` said. */
async function removeRelatively(path: string): Promise<string> {
  const run = (...argv: string[]) => runChild({ argv, cwd: '/', env: PROGRAMS, timeoutMs: LIMIT_MS });
  await run('chmod', '-R', 'u+rwX', '--', path);
  const { stderr } = await run('rm', '-rf', '--', path);
  return stderr.toString('utf8').split('\n')[0]!;
}

function isThere(path: string | Buffer): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
