import { readFileSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';

/** A process, told apart from a later one that got the same number. */
export interface ProcessIdentity {
  pid: number;
  /** Start time in clock ticks since boot, from /proc; null where there is no /proc. */
  startTicks: string | null;
}

export async function identityOf(pid: number): Promise<ProcessIdentity> {
  return { pid, startTicks: await startTicks(pid) };
}

/** The same at once, for who must not give the process time to do anything. */
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

/** Ids of processes whose environment holds `assignment` (`NAME=value`) word for word. Empty where there is no /proc. */
export async function processesWithVariable(assignment: string): Promise<number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((entry) => /^\d+$/.test(entry));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
      return environment.split('\0').includes(assignment) ? Number(pid) : undefined;
    }),
  );
  return found.filter((pid) => pid !== undefined && pid !== process.pid) as number[];
}

/** Ids of processes whose working directory lies in a folder, whatever their environment says. Empty where there is no /proc. */
export async function processesWorkingIn(folder: string): Promise<number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((entry) => /^\d+$/.test(entry));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const place = await readlink(`/proc/${pid}/cwd`).catch(() => '');
      return place === folder || place.startsWith(`${folder}/`) ? Number(pid) : undefined;
    }),
  );
  return found.filter((pid) => pid !== undefined && pid !== process.pid) as number[];
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
