import { statfs } from 'node:fs/promises';
import { runChild } from './process.ts';

/** A resource of this host that is exhausted. Retrying here cannot succeed. */
export type MachineFault = 'disk_full' | 'out_of_files' | 'out_of_memory' | 'out_of_processes';

const CODES: Readonly<Record<string, MachineFault>> = {
  ENOSPC: 'disk_full',
  EDQUOT: 'disk_full',
  EROFS: 'disk_full',
  EMFILE: 'out_of_files',
  ENFILE: 'out_of_files',
  ENOMEM: 'out_of_memory',
  EAGAIN: 'out_of_processes',
};
const WORDS: readonly (readonly [RegExp, MachineFault])[] = [
  [/No space left on device|Out of diskspace|Disk quota exceeded|Read-only file system/, 'disk_full'],
  [/Too many open files/, 'out_of_files'],
  [/Cannot allocate memory|[Oo]ut of memory/, 'out_of_memory'],
  [/\bfork\b.*Resource temporarily unavailable/, 'out_of_processes'],
];
/** With less, whoever begins something fails in the middle of it. */
const ROOM_BYTES = 16 * 1024 * 1024;

const TRIAL_MS = 10_000;

/** By an error's code, or by the words of a program that it stands for; through its causes. Undefined: it is another fault. */
export function machineFault(error: unknown): MachineFault | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { code, message, facts, cause } = error as {
    code?: string;
    message?: string;
    facts?: { stderr?: unknown };
    cause?: unknown;
  };
  const words = `${message ?? ''}\n${String(facts?.stderr ?? '')}`;
  return CODES[code ?? ''] ?? WORDS.find(([pattern]) => pattern.test(words))?.[1] ?? machineFault(cause);
}

/** True when the file system below a folder has no room to work in. */
export async function isDiskFull(folder: string): Promise<boolean> {
  const space = await statfs(folder).catch(() => undefined);
  return space !== undefined && space.bavail * space.bsize < ROOM_BYTES;
}

/**
 * Asks the machine itself whether it is so: words can be made up by whoever names a file. To start a program takes memory,
 * files and a process.
 */
export async function isStillOut(fault: MachineFault, folder: string): Promise<boolean> {
  if (fault === 'disk_full') return isDiskFull(folder);
  const { ending } = await runChild({ argv: [process.execPath, '--version'], cwd: '/', env: {}, timeoutMs: TRIAL_MS });
  return ending.kind !== 'exited' || ending.exitCode !== 0;
}
