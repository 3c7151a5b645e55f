import { runChild } from './process.ts';

const LIMIT_MS = 10 * 60_000;

/**
 * Returns the bytes that folders take on their disk together. Files that vanish meanwhile do not count, and neither do
 * folders that are missing. Undefined when they could not be measured, or `signal` aborted.
 */
export async function sizeOfFolders(
  folders: readonly string[],
  { searchPath, signal }: { searchPath: string; signal?: AbortSignal | undefined },
): Promise<number | undefined> {
  const { ending, stdout } = await runChild({
    argv: ['nice', '-n', '19', 'du', '-skc', '--', ...folders],
    cwd: '/',
    env: { PATH: searchPath, LC_ALL: 'C' },
    timeoutMs: LIMIT_MS,
    signal,
  });
  // A status other than 0 only says that a file or folder was gone; the total is the last line.
  const total = /^(\d+)\ttotal$/m.exec(stdout.toString('utf8'))?.[1];
  return ending.kind !== 'exited' || total === undefined ? undefined : 1_024 * Number(total);
}
