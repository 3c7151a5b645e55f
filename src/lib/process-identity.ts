import { readFileSync } from 'node:fs';
import { readdir, readFile, readlink, realpath } from 'node:fs/promises';

/** A process, distinguished from a later one that reuses its pid. */
export interface ProcessIdentity {
  pid: number;
  /** Start time in clock ticks since boot, from /proc; null where there is no /proc. */
  startTicks: string | null;
}

export async function identityOf(pid: number): Promise<ProcessIdentity> {
  return { pid, startTicks: await startTicks(pid) };
}

/** Synchronous variant of `identityOf`, for callers that must record the identity before the process can run. */
export function identityNow(pid: number): ProcessIdentity {
  return { pid, startTicks: ticksIn(readStatNow(pid)) };
}

export async function isRunning({ pid, startTicks: expected }: ProcessIdentity): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  if (expected === null) return true;
  return (await startTicks(pid)) === expected;
}

/**
 * Returns the pids of processes whose environment holds `assignment` (`NAME=value`) exactly, or as a prefix if it ends
 * with a slash. Empty where there is no /proc.
 */
export function processesWithVariable(assignment: string): Promise<number[]> {
  return otherProcesses(async (pid) => {
    const environment = await readFile(`/proc/${pid}/environ`, 'latin1');
    const assignments = environment.split('\0');
    if (assignment.endsWith('/')) return assignments.some((each) => each.startsWith(assignment));
    return assignments.includes(assignment);
  });
}

/** Returns the pids of processes whose working directory is in a folder. Empty where there is no /proc. */
export async function processesWorkingIn(folder: string): Promise<number[]> {
  // Paths in /proc have their symbolic links resolved.
  const real = await realpath(folder).catch(() => folder);
  return otherProcesses(async (pid) => {
    const place = await readlink(`/proc/${pid}/cwd`);
    return place === real || place.startsWith(`${real}/`);
  });
}

/** Returns the pids of live processes with this real, effective, saved or file-system uid. Empty without /proc. */
export function processesOfUser(uid: number): Promise<number[]> {
  return otherProcesses(async (pid) => {
    const status = await readFile(`/proc/${pid}/status`, 'latin1');
    const isGone = /^State:\s+[ZX]/m.test(status);
    const ids = /^Uid:\s+(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
    return !isGone && ids.includes(String(uid));
  });
}

/** Skips a process that ends meanwhile or that may not be inspected. */
async function otherProcesses(isOne: (pid: number) => Promise<boolean>): Promise<number[]> {
  const entries = await readdir('/proc').catch(() => []);
  const pids = entries.map(Number).filter((pid) => Number.isInteger(pid) && pid !== process.pid);
  const found = await Promise.all(pids.map((pid) => isOne(pid).catch(() => false)));
  return pids.filter((_, index) => found[index]);
}

async function startTicks(pid: number): Promise<string | null> {
  return ticksIn(await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined));
}

function readStatNow(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/<pid>/stat; the command in field 2 may hold spaces and parentheses. Zombies count as gone. */
function ticksIn(stat: string | undefined): string | null {
  if (stat === undefined) return null;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? null : (fields[19] ?? null);
}
