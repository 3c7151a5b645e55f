import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { measureChildren } from './children.ts';
import { measureHeartbeats, measureWorkerProcesses } from './fleet.ts';
import { measureHistory } from './history.ts';
import { measureIdle } from './idle.ts';
import { measureLargeRuns } from './large-runs.ts';
import { measureLatency } from './latency.ts';
import { measureLongQueue } from './long-queue.ts';
import { COUNT_STATEMENTS, profiled } from './profile.ts';
import { pageOf } from './report.ts';
import { type BenchServers, startServers } from './servers.ts';
import { compareThroughput } from './throughput.ts';
import { measureLedger } from './whole-ledger.ts';

/**
 * `npm run bench` measures everything and writes docs/bench.md. `-- --only throughput,idle` prints some parts,
 * `-- --profile 20000` prints where the time of one task goes.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { profile: { type: 'boolean', default: false }, only: { type: 'string' }, finished: { type: 'string' } },
});
const tasks = Number(positionals[0] ?? 5_000);
const finished = Number(values.finished ?? 1_000_000);

const PARTS: Record<string, (servers: BenchServers) => Promise<string>> = {
  throughput: (servers) => compareThroughput(servers, tasks),
  processes: (servers) => measureWorkerProcesses(servers, tasks),
  latency: measureLatency,
  'large-runs': measureLargeRuns,
  children: measureChildren,
  'long-queue': measureLongQueue,
  history: (servers) => measureHistory(servers, finished),
  idle: () => measureIdle(),
  heartbeats: measureHeartbeats,
};

if (values.profile) await profile();
else await measureParts(values.only?.split(',') ?? Object.keys(PARTS));

async function measureParts(names: readonly string[]): Promise<void> {
  const strange = names.find((name) => PARTS[name] === undefined);
  if (strange !== undefined) throw new Error(`${strange} is none of ${Object.keys(PARTS).join(', ')}`);
  const tables: Record<string, string> = {};
  for (const name of names) {
    const servers = await startServers();
    try {
      tables[name] = await PARTS[name]!(servers);
    } finally {
      await servers.stop();
    }
    console.log(`${tables[name]}\n`);
  }
  if (values.only !== undefined) return;
  const page = pageOf(tables, { tasks, cores: cpus().length });
  await writeFile(new URL('../docs/bench.md', import.meta.url), page);
}

/** Prints where the time of one task goes, on Redis where it is installed. */
async function profile(): Promise<void> {
  const servers = await startServers(COUNT_STATEMENTS);
  try {
    const place = await servers.ledgerAt();
    const around = <T>(work: () => Promise<T>) => profiled({ databaseUrl: place.databaseUrl, tasks }, work);
    await measureLedger(place, { tasks, slots: 50, around });
  } finally {
    await servers.stop();
  }
}
