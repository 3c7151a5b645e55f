import { join } from 'node:path';
import { ApiRole } from '../src/api/api-role.ts';
import { SluiceClient } from '../src/client/sluice-client.ts';
import { loadSettings } from '../src/config.ts';
import type { Daos } from '../src/dao/all.ts';
import { type Database, sql } from '../src/database/database.ts';
import { createDeps, type Deps, foundation } from '../src/deps.ts';
import { startAll } from '../src/lib/component.ts';
import { createLog } from '../src/lib/log.ts';
import type { ExecuteAttempt } from '../src/pipeline/run-task/run-task.ts';
import { createSchedulerRole } from '../src/scheduler/scheduler-role.ts';
import { createWorkerRole } from '../src/workers/worker-role.ts';

export interface BenchSluice {
  client: SluiceClient;
  daos: Daos;
  database: Database;
  /** While held, the worker offers no gate slots. */
  holdGates: (held: boolean) => Promise<void>;
  stop: () => Promise<void>;
}

/** Starts all roles in this process, so that Sluice uses one event loop, as the benches of BullMQ and pg-boss do. */
export async function startBenchSluice(options: {
  databaseUrl: string;
  redisUrl: string | undefined;
  folder: string;
  /** 0: this process has no worker. */
  taskSlots: number;
  gateSlots: number;
  execute?: ExecuteAttempt | undefined;
  /** Replaces Sluice's planner. */
  plan?: Deps['planLanding'] | undefined;
}): Promise<BenchSluice> {
  const dataDir = join(options.folder, 'data');
  const environment = { PATH: process.env.PATH, REDIS_URL: options.redisUrl };
  const settings = await loadSettings(environment, { dataDir, port: 0, allowAll: true }, options.folder);
  const deps = createDeps(settings, createLog({ level: 'error', terminal: false }), options.databaseUrl, 20);
  deps.planLanding = options.plan ?? deps.planLanding;
  const api = new ApiRole(deps, 'bench');
  const { taskSlots, gateSlots, execute } = options;
  const worker =
    taskSlots === 0
      ? { components: [] }
      : createWorkerRole(deps, { pools: ['default'], taskSlots, gateSlots, drainMs: 1_000, execute });
  const stop = await startAll([
    ...foundation(deps, { migrate: true }),
    api,
    ...createSchedulerRole(deps),
    ...worker.components,
  ]);
  const holdGates = async (held: boolean): Promise<void> => {
    await deps.ledger.write((tx) => tx.query(sql`update workers set gate_slots = ${held ? 0 : gateSlots}`));
    deps.wakeUps.send('dispatch');
    deps.wakeUps.send('landing');
  };
  return {
    client: new SluiceClient({ url: api.url, token: api.localToken }),
    daos: deps.daos,
    database: deps.database,
    holdGates,
    stop,
  };
}
