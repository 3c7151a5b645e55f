import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { startRedis, type TestRedis } from '../harness/redis.ts';
import { TcpProxy } from '../harness/tcp-proxy.ts';
import { SluiceClient } from '../src/client/sluice-client.ts';
import { localTokenFile } from '../src/contract/tokens.ts';
import { createDaos, type Daos } from '../src/dao/all.ts';
import { Database } from '../src/database/database.ts';
import { EmbeddedPostgres } from '../src/database/embedded-postgres.ts';
import { migrateUp } from '../src/database/migrator.ts';
import { poll } from '../src/lib/clock.ts';
import { freePort } from '../src/lib/free-port.ts';
import { silentLog } from '../src/lib/log.ts';
import { runChild } from '../src/lib/process.ts';
import { readSecret } from '../src/lib/secret-file.ts';
import { RoleProcess, seenProcesses } from './processes.ts';
import type { Random } from './random.ts';
import { TargetBranch } from './target-branch.ts';

export type Backend = 'redis' | 'postgres';

export interface World {
  backend: Backend;
  folder: string;
  random: Random;
  client: SluiceClient;
  /** A direct connection to the database that no fault cuts. */
  database: Database;
  daos: Daos;
  branch: TargetBranch;
  roles: { api: RoleProcess; schedulers: RoleProcess[]; workers: RoleProcess[] };
  databaseProxy: TcpProxy;
  redis: QueueServer | undefined;
  /** Folders of the two "machines" that workers run on. */
  machines: string[];
  /** The machine folder on a file system that can be filled; undefined where none can be mounted. */
  smallDisk: string | undefined;
  postgresPids(): Promise<number[]>;
  stop(): Promise<void>;
}

/** Redis, and the proxy that Sluice reaches it by. */
export type QueueServer = TestRedis & { proxy: TcpProxy };

/** Maximum clock skew of a process. BullMQ's locks in PostgreSQL use the client's clock; Redis uses its own. */
const SKEW_MS: Record<Backend, number> = { redis: 10 * 60_000, postgres: 5_000 };
const WORKERS_A_MACHINE = 2;

/** Starts two machines, two schedulers, an API, a database and a queue behind proxies, and a target branch. */
export async function createWorld(options: { backend: Backend; random: Random }): Promise<World> {
  const { backend, random } = options;
  const folder = await mkdtemp(join(tmpdir(), 'sluice-chaos-'));
  const searchPath = process.env.PATH!;
  const server = new EmbeddedPostgres({
    dataDir: join(folder, 'database'),
    log: silentLog(),
    searchPath,
    onLoopback: true,
  });
  await server.start();
  const database = new Database({ url: server.url });
  await database.start();
  await migrateUp(database);
  const databaseProxy = await TcpProxy.start(Number(new URL(server.url).port));
  const redis = backend === 'redis' ? await startQueueServer() : undefined;
  const branch = await TargetBranch.create();
  const port = await freePort();
  const config = join(folder, 'sluice.config.yaml');
  await writeFile(config, stringify(configuration(branch)));
  await mkdir(join(folder, 'logs'));
  const environment = (): Record<string, string> => ({
    PATH: searchPath,
    DATABASE_URL: databaseProxy.through(server.url),
    REDIS_URL: redis === undefined ? '' : redis.proxy.through(redis.url),
    NODE_OPTIONS: `--import=${join(import.meta.dirname, 'skewed-clock.mjs')}`,
    SLUICE_CHAOS_SKEW_MS: String(Math.round(random.between(-SKEW_MS[backend], SKEW_MS[backend]))),
  });
  const role = (name: string, args: readonly string[], machine: string): RoleProcess =>
    new RoleProcess({
      name,
      args: [...args, `--config=${config}`, `--data-dir=${machine}`],
      environment,
      logFile: join(folder, 'logs', `${name}.log`),
    });
  const machines = ['first', 'second'].map((name) => join(folder, name));
  for (const machine of machines) await mkdir(machine);
  const smallDisk = await mountSmallDisk(machines[1]!);
  const workerArgs = [
    'worker',
    `--processes=${WORKERS_A_MACHINE}`,
    '--concurrency=3',
    '--gate-slots=2',
    '--drain-seconds=5',
  ];
  const roles = {
    api: role('api', ['api', `--port=${port}`], machines[0]!),
    schedulers: machines.map((machine, n) => role(`scheduler-${n}`, ['scheduler'], machine)),
    workers: machines.map((machine, n) => role(`workers-${n}`, workerArgs, machine)),
  };
  const all = [roles.api, ...roles.schedulers, ...roles.workers];
  for (const each of all) each.start();
  const token = await poll(() => readSecret(localTokenFile(machines[0]!)), { everyMs: 100, limitMs: 300_000 });
  const client = new SluiceClient({ url: `http://127.0.0.1:${port}`, token });
  const up = await poll(
    () =>
      client.stats().then(
        (stats) => (stats.pools[0]?.task_slots ?? 0) > 0 || undefined,
        () => undefined,
      ),
    {
      everyMs: 100,
      limitMs: 300_000,
    },
  );
  const world: World = {
    ...{
      backend,
      folder,
      random,
      client,
      database,
      daos: createDaos(database),
      branch,
      roles,
      databaseProxy,
      redis,
      machines,
      smallDisk,
    },
    postgresPids: async () => {
      const data = join(folder, 'database', 'postgres', 'data');
      return (await seenProcesses()).filter(({ arguments: argv }) => argv.includes(data)).map(({ pid }) => pid);
    },
    stop: async () => {
      await Promise.all(all.map((each) => each.end('SIGKILL')));
      await database.stop();
      await databaseProxy.stop();
      await redis?.proxy.stop();
      await redis?.stop();
      await branch.remove();
      await server.stop();
      if (smallDisk !== undefined) await mount('umount', ['--lazy', smallDisk]);
      await rm(folder, { recursive: true, force: true });
    },
  };
  if (up !== undefined) return world;
  const logs = await Promise.all(all.map(({ name }) => readFile(join(folder, 'logs', `${name}.log`), 'utf8')));
  await world.stop();
  throw new Error(`the world did not start: ${logs.join('\n').slice(-4_000)}`);
}

/** Mounts an in-memory file system on the folder; undefined where this process may not mount. */
async function mountSmallDisk(folder: string): Promise<string | undefined> {
  return (await mount('mount', ['-t', 'tmpfs', '-o', 'size=1g', 'tmpfs', folder])) ? folder : undefined;
}

async function mount(program: 'mount' | 'umount', args: readonly string[]): Promise<boolean> {
  const env = { PATH: process.env.PATH! };
  const { ending } = await runChild({ argv: [program, ...args], cwd: '/', env, timeoutMs: 10_000 });
  return ending.kind === 'exited' && ending.exitCode === 0;
}

function configuration({ remote }: TargetBranch) {
  return {
    repositories: { app: { url: remote } },
    allow_commands: true,
    tools: {
      flaky: {
        argv: ['sh', '-c', '{input.script}'],
        concurrency: 4,
        breaker: { failure_threshold: 3, cooldown_seconds: 2 },
      },
    },
  };
}

async function startQueueServer(): Promise<QueueServer> {
  const server = await startRedis();
  return { ...server, proxy: await TcpProxy.start(Number(new URL(server.url).port)) };
}
