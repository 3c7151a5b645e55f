import { lstat, rm } from 'node:fs/promises';
import { runChild } from './process.ts';

const LIMIT_MS = 5 * 60_000;
const PROGRAMS = { PATH: '/usr/local/bin:/usr/bin:/bin' };

/**
 * Removes a folder with its content, even when a tool removed permissions or nested folders deeper than the longest
 * path. Never follows links. Throws when anything is left.
 */
export async function removeTree(path: string | Buffer): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  } catch (cause) {
    const words = await removeRelatively(path.toString());
    if (await isThere(path)) throw new Error(words || (cause as Error).message, { cause });
  }
}

/** `rm` and `chmod` walk by open folders, so no path is too long for them. Returns the first line that `rm` printed. */
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
