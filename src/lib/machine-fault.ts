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
/** With less free space, an operation would probably fail halfway. */
const ROOM_BYTES = 16 * 1024 * 1024;

const TRIAL_MS = 10_000;

/**
 * Classifies an error by its code, or by the message of a program, following its causes. Undefined for any other fault.
 */
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

/** True when the file system that holds a folder has less than ROOM_BYTES free. */
export async function isDiskFull(folder: string): Promise<boolean> {
  const space = await statfs(folder).catch(() => undefined);
  return space !== undefined && space.bavail * space.bsize < ROOM_BYTES;
}

/**
 * Checks on the host itself whether a fault persists, because a message may quote a file name that imitates one.
 * Starting a program proves that memory, open files and processes are available.
 */
export async function isStillOut(fault: MachineFault, folder: string): Promise<boolean> {
  if (fault === 'disk_full') return isDiskFull(folder);
  const { ending } = await runChild({ argv: [process.execPath, '--version'], cwd: '/', env: {}, timeoutMs: TRIAL_MS });
  return ending.kind !== 'exited' || ending.exitCode !== 0;
}
