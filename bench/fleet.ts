import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createDaos } from '../src/dao/all.ts';
import { Database } from '../src/database/database.ts';
import { LoneConnection } from '../src/database/lone-connection.ts';
import { migrateUp } from '../src/database/migrator.ts';
import { heartbeat } from '../src/ledger/fleet/workers.ts';
import { sleep } from '../src/lib/clock.ts';
import { startBenchSluice } from './bench-sluice.ts';
import { median, tableOf, timed } from './measure.ts';
import { costOfTree, cpuOfPostgres } from './processes.ts';
import type { BenchServers, LedgerPlace } from './servers.ts';
import { noOpRun, untilEnded } from './whole-ledger.ts';

const SLOTS = 50;
const ROUNDS = 5;

/** The same drain by one worker process and by three, beside a process with the API and the scheduler. */
export async function measureWorkerProcesses(servers: BenchServers, tasks: number): Promise<string> {
  const kinds = servers.redis === undefined ? (['postgres'] as const) : (['redis', 'postgres'] as const);
  const rows: (string | number)[][] = [];
  for (const kind of kinds) {
    const drains = new Map<number, Drain[]>([1, 3].map((processes) => [processes, []]));
    for (let round = 0; round <= ROUNDS; round += 1) {
      for (const [processes, seen] of drains) {
        const drain = await drainBy(await servers.ledgerAt(kind), processes, tasks);
        if (round > 0) seen.push(drain);
      }
    }
    for (const [processes, seen] of drains) {
      const middle = (of: (drain: Drain) => number): number => median(seen.map(of));
      const [rate, node, postgres] = [middle((d) => d.rate), middle((d) => d.nodeMs), middle((d) => d.postgresMs)];
      rows.push([`${processes}, ${kind}`, Math.round(rate), node.toFixed(2), postgres.toFixed(2)]);
    }
  }
  const head = [
    'worker processes',
    'tasks/s',
    'CPU of all processes of Sluice, ms a task',
    'CPU of PostgreSQL, ms a task',
  ];
  return tableOf(head, rows);
}

interface Drain {
  rate: number;
  nodeMs: number;
  postgresMs: number;
}

async function drainBy(place: LedgerPlace, processes: number, tasks: number): Promise<Drain> {
  const sluice = await startBenchSluice({ ...place, taskSlots: 0, gateSlots: 0 });
  const workers: ChildProcess[] = [];
  for (let n = 0; n < processes; n += 1) {
    const folder = join(place.folder, `worker-${n}`);
    await mkdir(folder, { recursive: true });
    workers.push(await startWorker(place, folder));
  }
  const before = { node: await costOfTree(process.pid), postgres: await cpuOfPostgres() };
  const seconds = await timed(async () => {
    const { id } = await sluice.client.runs.submit(noOpRun(place.repository, tasks));
    await untilEnded(sluice, id);
  });
  const after = { node: await costOfTree(process.pid), postgres: await cpuOfPostgres() };
  await Promise.all(
    workers.map(async (worker) => {
      const ended = once(worker, 'exit');
      worker.send('stop');
      await ended;
    }),
  );
  await sluice.stop();
  const postgres = after.postgres - before.postgres;
  // The servers of the bench are children of its process.
  const node = after.node.cpu - before.node.cpu - postgres;
  return { rate: tasks / seconds, nodeMs: (1_000 * node) / tasks, postgresMs: (1_000 * postgres) / tasks };
}

async function startWorker({ databaseUrl, redisUrl }: LedgerPlace, folder: string): Promise<ChildProcess> {
  const worker = fork(fileURLToPath(new URL('./worker-process.ts', import.meta.url)), [folder, String(SLOTS)], {
    env: { PATH: process.env.PATH, DATABASE_URL: databaseUrl, ...(redisUrl ? { REDIS_URL: redisUrl } : {}) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await once(worker, 'message');
  return worker;
}

const WORKERS = 500;
const BEAT_EVERY_MS = 1_000;
const BEATS = 20;
/** A worker has one of its own; these share some, because the server of the bench takes 100. */
const CONNECTIONS = 50;

/** Measures what the heartbeats of a large fleet cost the database: each worker renews its row once a second. */
export async function measureHeartbeats(servers: BenchServers): Promise<string> {
  const url = await servers.newDatabase();
  const database = new Database({ url });
  await database.start();
  await migrateUp(database);
  const { workers } = createDaos(database);
  const rows = Array.from({ length: WORKERS }, () => workers.create({ state: 'IDLE' }));
  const ids = (await Promise.all(rows)).map(({ worker_id }) => worker_id);
  await database.stop();
  const connections = Array.from({ length: CONNECTIONS }, () => new LoneConnection(url, { silentMs: 10_000 }));
  const beat = (workerId: string, n: number) =>
    heartbeat(connections[n % CONNECTIONS]!.tx, { workerId, heldIds: [], leaseMs: 6_000, starving: false });
  await Promise.all(ids.map(beat));
  const before = await cpuOfPostgres();
  const seconds = await timed(async () => {
    for (let beats = 0; beats < BEATS; beats += 1) {
      const spread = ids.map((id, n) => sleep((n / WORKERS) * BEAT_EVERY_MS).then(() => beat(id, n)));
      await Promise.all([...spread, sleep(BEAT_EVERY_MS)]);
    }
  });
  const cpu = (await cpuOfPostgres()) - before;
  await Promise.all(connections.map((connection) => connection.end()));
  return tableOf(
    ['workers', 'heartbeats a second', 'CPU of PostgreSQL, of one core'],
    [[WORKERS, Math.round((WORKERS * BEATS) / seconds), `${((100 * cpu) / seconds).toFixed(1)} %`]],
  );
}
