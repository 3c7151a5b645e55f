import { readdir, readFile } from 'node:fs/promises';

const SECONDS_A_TICK = 0.01;
const BYTES_A_PAGE = 4_096;

interface Seen {
  pid: number;
  parent: number;
  name: string;
  /** Seconds of CPU, of its ended children too. */
  cpu: number;
  memoryBytes: number;
}

/** Seconds of CPU of every PostgreSQL process of this machine. */
export async function cpuOfPostgres(): Promise<number> {
  return sumOf(await seen(), ({ name }) => name === 'postgres').cpu;
}

/** CPU in seconds and resident memory in bytes of a process and all its descendants. */
export async function costOfTree(root: number): Promise<{ cpu: number; memoryBytes: number }> {
  const all = await seen();
  const inTree = new Set([root]);
  for (let size = 0; size !== inTree.size; ) {
    size = inTree.size;
    for (const { pid, parent } of all) if (inTree.has(parent)) inTree.add(pid);
  }
  return sumOf(all, ({ pid }) => inTree.has(pid));
}

function sumOf(all: readonly Seen[], isWanted: (one: Seen) => boolean): { cpu: number; memoryBytes: number } {
  const wanted = all.filter(isWanted);
  const cpu = wanted.reduce((sum, one) => sum + one.cpu, 0);
  return { cpu, memoryBytes: wanted.reduce((sum, one) => sum + one.memoryBytes, 0) };
}

async function seen(): Promise<Seen[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const found = await Promise.all(
    pids.map(async (pid): Promise<Seen | undefined> => {
      const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
      if (stat === '') return undefined;
      const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
      return {
        pid: Number(pid),
        parent: Number(fields[1]),
        name,
        cpu: ticks * SECONDS_A_TICK,
        memoryBytes: Number(fields[21]) * BYTES_A_PAGE,
      };
    }),
  );
  return found.filter((one) => one !== undefined);
}
