import { rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '../src/lib/clock.ts';
import { runChild } from '../src/lib/process.ts';
import { patiently } from './patiently.ts';
import { seenProcesses, signal } from './processes.ts';
import type { World } from './world.ts';

export interface Fault {
  /** Injects the fault and resolves when it is over; recovery is measured from then on. */
  inject(world: World): Promise<void>;
  /** Tells whether this world allows the fault; if absent, every world does. */
  possible?(world: World): Promise<boolean>;
}

const hasRedis = async ({ redis }: World): Promise<boolean> => redis !== undefined;
/** Duration of an outage: up to longer than a lease (6 s). */
const outageMs = ({ random }: World): number => random.pick([50, 300, 1_500, 4_000, 9_000]);

export const FAULTS = {
  'kill-worker': { inject: async (world) => signal(await workerPid(world), 'SIGKILL') },
  'stop-worker': {
    async inject(world) {
      const pid = await workerPid(world);
      signal(pid, 'SIGSTOP');
      await sleep(world.random.pick([500, 3_000, 8_000]));
      signal(pid, 'SIGCONT');
    },
  },
  'stop-tool': {
    async inject(world) {
      const tools = (await seenProcesses()).filter(({ environment }) =>
        environment.some((each) => each.startsWith(`TMPDIR=${world.folder}`)),
      );
      if (tools.length > 0) signal(world.random.pick(tools).pid, 'SIGSTOP');
      await sleep(500);
      for (const { pid } of tools) signal(pid, 'SIGCONT');
    },
  },
  'kill-supervisor': { inject: ({ random, roles }) => random.pick(roles.workers).restart('SIGKILL') },
  'drain-workers': { inject: ({ random, roles }) => random.pick(roles.workers).restart('SIGTERM') },
  'kill-scheduler': { inject: ({ random, roles }) => random.pick(roles.schedulers).restart('SIGKILL') },
  'kill-both-schedulers': {
    inject: async ({ roles }) => void (await Promise.all(roles.schedulers.map((role) => role.restart('SIGKILL')))),
  },
  'stop-scheduler': {
    async inject({ random, roles }) {
      const { pid } = random.pick(roles.schedulers);
      signal(pid!, 'SIGSTOP');
      await sleep(random.pick([500, 3_000, 7_000]));
      signal(pid!, 'SIGCONT');
    },
  },
  'restart-scheduler': { inject: ({ random, roles }) => random.pick(roles.schedulers).restart('SIGTERM') },
  'kill-api': { inject: ({ roles }) => roles.api.restart('SIGKILL') },
  'kill-postgres': {
    async inject(world) {
      for (const pid of await world.postgresPids()) signal(pid, 'SIGKILL');
      // Killed processes take a moment to disappear.
      await sleep(200);
      await patiently(() => world.database.ping());
    },
  },
  'cut-database': { inject: (world) => outage(world, world.databaseProxy) },
  'reset-database': { inject: async ({ databaseProxy }) => databaseProxy.reset() },
  'flush-redis': { possible: hasRedis, inject: async ({ redis }) => void (await redis!.client.flushall()) },
  'kill-redis': {
    possible: hasRedis,
    async inject(world) {
      await world.redis!.kill();
      await sleep(outageMs(world));
      await world.redis!.restart();
    },
  },
  'cut-redis': { possible: hasRedis, inject: (world) => outage(world, world.redis!.proxy) },
  'freeze-redis': { possible: hasRedis, inject: async ({ redis }) => redis!.proxy.freeze() },
  'push-by-others': {
    inject: ({ branch, random }) => branch.push(`somebody-${random.next().toString(36).slice(2)}`),
  },
  'fill-disk': {
    possible: async ({ smallDisk }) => smallDisk !== undefined,
    async inject(world) {
      const ballast = join(world.smallDisk!, 'ballast');
      await fillUp(ballast);
      await sleep(world.random.pick([300, 2_000]));
      await rm(ballast, { force: true });
    },
  },
} as const satisfies Record<string, Fault>;

export type FaultName = keyof typeof FAULTS;
export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];

async function workerPid({ daos, random }: World): Promise<number> {
  const living = await patiently(() => daos.workers.findBy({ state: { $in: ['IDLE', 'BUSY'] } }));
  // Prefer a BUSY worker, because killing an idle one interrupts no task.
  const busy = living.filter(({ state }) => state === 'BUSY');
  return random.pick(busy.length > 0 ? busy : living)?.pid ?? 2 ** 30;
}

async function outage(world: World, proxy: World['databaseProxy']): Promise<void> {
  proxy.cut();
  await sleep(outageMs(world));
  proxy.restore();
}

/** Fills the file system that the file lies on. */
async function fillUp(file: string): Promise<void> {
  await writeFile(file, '');
  const { bavail, bsize } = await statfs(file);
  await runChild({
    argv: ['dd', 'if=/dev/zero', `of=${file}`, 'bs=65536', `count=${Math.ceil((bavail * bsize) / 65_536)}`],
    cwd: '/',
    env: { PATH: process.env.PATH! },
    timeoutMs: 30_000,
  });
}
