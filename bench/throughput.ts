import { type Measurement, median, tableOf } from './measure.ts';
import { measureBullMq, measureGraphile, measurePgBossFetched, measurePgBossWork } from './raw-queues.ts';
import type { BenchServers } from './servers.ts';
import { measureLedger } from './whole-ledger.ts';

interface Contender {
  name: string;
  /** Fewer, where a contender would take minutes. */
  tasks?: number;
  measure: (tasks: number) => Promise<Measurement>;
}

const ROUNDS = 5;

/**
 * Drains of no-op tasks. The contenders take turns, a warm-up first, so that a change of the machine's speed meets all
 * of them; each row is the median of five rounds.
 */
export async function compareThroughput(servers: BenchServers, tasks: number): Promise<string> {
  const contenders = contendersOn(servers);
  const rates = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  const notOnce = new Map<string, number>();
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const { name, measure, tasks: own = tasks } of contenders) {
      const measured = await measure(own);
      notOnce.set(name, (notOnce.get(name) ?? 0) + measured.notOnce);
      if (round > 0) rates.get(name)!.push(own / measured.seconds);
    }
  }
  if ([...notOnce.values()].some((count) => count > 0)) process.exitCode = 1;
  const middle = new Map([...rates].map(([name, all]) => [name, median(all)]));
  const reference = (slots: number, kind: string): number =>
    middle.get(`BullMQ \`Worker\`, ${slots} at a time, ${kind}`) ?? 0;
  const rows = contenders.map(({ name }) => {
    const all = rates.get(name)!;
    const slots = /\b(\d+) at a time/.exec(name)?.[1] ?? '50';
    const kind = name.endsWith('Redis') ? 'Redis' : 'PostgreSQL';
    const against = reference(Number(slots), kind);
    const rate = middle.get(name)!;
    const range = `${whole(Math.min(...all))}–${whole(Math.max(...all))}`;
    return [name, whole(rate), range, against === 0 ? '' : (rate / against).toFixed(2), notOnce.get(name)!];
  });
  return tableOf(['contender', 'tasks/s', 'range', 'against BullMQ on the same server', 'not exactly once'], rows);
}

function contendersOn({ newDatabase, redis, ledgerAt }: BenchServers): Contender[] {
  const each: Contender[] = [];
  for (const slots of [50, 200]) {
    if (redis !== undefined) {
      each.push(
        {
          name: `BullMQ \`Worker\`, ${slots} at a time, Redis`,
          measure: (tasks) => measureBullMq('redis', redis.url, { tasks, concurrency: slots }),
        },
        {
          name: `Sluice, ${slots} at a time, Redis`,
          measure: async (tasks) => measureLedger(await ledgerAt('redis'), { tasks, slots }),
        },
      );
    }
    each.push(
      {
        name: `BullMQ \`Worker\`, ${slots} at a time, PostgreSQL`,
        measure: async (tasks) => measureBullMq('postgres', await newDatabase(), { tasks, concurrency: slots }),
      },
      {
        name: `Sluice, ${slots} at a time, PostgreSQL`,
        measure: async (tasks) => measureLedger(await ledgerAt('postgres'), { tasks, slots }),
      },
    );
  }
  return [
    ...each,
    {
      name: 'graphile-worker, 50 at a time',
      measure: async (tasks) => measureGraphile(await newDatabase(), { tasks, concurrency: 50 }),
    },
    {
      name: 'graphile-worker, 50 at a time, local queue of 500',
      measure: async (tasks) => measureGraphile(await newDatabase(), { tasks, concurrency: 50, localQueueSize: 500 }),
    },
    {
      name: 'pg-boss `work()`, 50 at a time',
      tasks: 250,
      measure: async (tasks) =>
        measurePgBossWork(await newDatabase(), { tasks, work: { localConcurrency: 50, pollingIntervalSeconds: 0.5 } }),
    },
    {
      name: 'pg-boss `work()`, 4 × bursts of 50',
      measure: async (tasks) =>
        measurePgBossWork(await newDatabase(), {
          tasks,
          work: { localConcurrency: 4, batchSize: 50, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
        }),
    },
    {
      name: 'pg-boss, fetched by hand in batches of 50, no handler',
      measure: async (tasks) => measurePgBossFetched(await newDatabase(), { tasks, batchSize: 50 }),
    },
  ];
}

function whole(rate: number): string {
  return Math.round(rate).toLocaleString('en');
}
