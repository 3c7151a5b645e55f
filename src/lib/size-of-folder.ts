import { runChild } from './process.ts';

const LIMIT_MS = 10 * 60_000;

/** Returns the bytes that a folder takes on its disk; files that vanish meanwhile do not count. */
export async function sizeOfFolder(folder: string, searchPath: string): Promise<number> {
  const { stdout } = await runChild({
    argv: ['nice', '-n', '19', 'du', '-sk', '--', folder],
    cwd: '/',
    env: { PATH: searchPath },
    timeoutMs: LIMIT_MS,
  });
  return 1_024 * Number.parseInt(stdout.toString('utf8'), 10) || 0;
}
