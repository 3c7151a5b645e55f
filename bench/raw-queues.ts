import { createPostgresBackend, Queue, Worker } from 'bullmq';
import { Logger, makeWorkerUtils, type Runner, runMigrations, run as runWorker } from 'graphile-worker';
import { PgBoss, type WorkOptions } from 'pg-boss';
import { ExactlyOnce, type Measurement, timed } from './measure.ts';

const BULK = 1_000;
const SILENT = new Logger(() => () => {});

/** BullMQ alone, no-op jobs, on Redis or on PostgreSQL. */
export async function measureBullMq(
  kind: 'redis' | 'postgres',
  url: string,
  { tasks, concurrency }: { tasks: number; concurrency: number },
): Promise<Measurement> {
  const name = `raw-${kind}-${concurrency}-${Date.now()}`;
  const seen = new ExactlyOnce(tasks);
  const { queue, openWorker } = await openBullMq(kind, url, name);
  const worker = openWorker(async ({ id }) => seen.saw(id!), concurrency);
  const seconds = await timed(async () => {
    void worker.run();
    for (const size of bulks(tasks)) {
      const jobs = Array.from({ length: size.count }, (_, i) => ({
        name: 'noop',
        data: {},
        opts: { jobId: `j${size.from + i}` },
      }));
      await queue.addBulk(jobs);
    }
    await seen.allSeen;
  });
  await worker.close();
  await queue.close();
  return { seconds, notOnce: seen.notOnce };
}

export async function openBullMq(kind: 'redis' | 'postgres', url: string, name: string) {
  const removal = { removeOnComplete: { count: 0 }, removeOnFail: { count: 0 } };
  const queue =
    kind === 'redis'
      ? new Queue(name, { connection: { url } })
      : (new Queue(
          name,
          { connection: { connectionString: url, migrate: true } },
          createPostgresBackend,
        ) as unknown as Queue);
  await queue.waitUntilReady();
  type Process = (job: { id?: string | undefined }) => Promise<void>;
  const openWorker = (process: Process, concurrency: number): Worker => {
    const options = { concurrency, autorun: false, ...removal };
    return kind === 'redis'
      ? new Worker(name, process, { connection: { url, maxRetriesPerRequest: null }, ...options })
      : (new Worker(
          name,
          process,
          { connection: { connectionString: url, max: 10 }, ...options },
          createPostgresBackend,
        ) as unknown as Worker);
  };
  return { queue, openWorker };
}

/** pg-boss with a handler for each job or batch. */
export function measurePgBossWork(
  url: string,
  { tasks, work }: { tasks: number; work: WorkOptions },
): Promise<Measurement> {
  return measurePgBoss(url, tasks, async (boss, seen) => {
    await boss.work('raw', work, async (jobs: { id: string }[]) => {
      for (const { id } of jobs) seen.saw(id);
    });
    await insertAll(boss, tasks);
  });
}

/** pg-boss fetched by hand in batches, with no handler. */
export function measurePgBossFetched(
  url: string,
  { tasks, batchSize }: { tasks: number; batchSize: number },
): Promise<Measurement> {
  return measurePgBoss(url, tasks, async (boss, seen) => {
    const drain = async (): Promise<void> => {
      while (true) {
        const jobs = await boss.fetch('raw', { batchSize });
        if (jobs.length === 0) return;
        const ids = jobs.map(({ id }) => id);
        for (const id of ids) seen.saw(id);
        await boss.complete('raw', ids);
      }
    };
    await insertAll(boss, tasks);
    await Promise.all(Array.from({ length: 4 }, drain));
  });
}

async function measurePgBoss(
  url: string,
  tasks: number,
  work: (boss: PgBoss, seen: ExactlyOnce) => Promise<void>,
): Promise<Measurement> {
  const seen = new ExactlyOnce(tasks);
  const boss = await openPgBoss(url);
  const seconds = await timed(async () => {
    await work(boss, seen);
    await seen.allSeen;
  });
  await boss.stop({ graceful: false });
  return { seconds, notOnce: seen.notOnce };
}

async function openPgBoss(url: string): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString: url, max: 10 });
  boss.on('error', () => {});
  await boss.start();
  await boss.createQueue('raw');
  return boss;
}

async function insertAll(boss: PgBoss, tasks: number): Promise<void> {
  for (const { count } of bulks(tasks)) {
    await boss.insert(
      'raw',
      Array.from({ length: count }, () => ({ data: {} })),
    );
  }
}

/** graphile-worker, no-op jobs; `localQueueSize` lets it fetch jobs ahead in batches. */
export async function measureGraphile(
  url: string,
  { tasks, concurrency, localQueueSize }: { tasks: number; concurrency: number; localQueueSize?: number },
): Promise<Measurement> {
  const seen = new ExactlyOnce(tasks);
  await runMigrations({ connectionString: url });
  const utils = await makeWorkerUtils({ connectionString: url });
  let runner: Runner | undefined;
  const seconds = await timed(async () => {
    for (const { from, count } of bulks(tasks)) {
      await utils.addJobs(
        Array.from({ length: count }, (_, i) => ({ identifier: 'noop', payload: { id: `j${from + i}` } })),
      );
    }
    runner = await runWorker({
      connectionString: url,
      noHandleSignals: true,
      logger: SILENT,
      taskList: { noop: async (payload) => seen.saw((payload as { id: string }).id) },
      preset: {
        worker: {
          concurrentJobs: concurrency,
          maxPoolSize: 10,
          ...(localQueueSize === undefined
            ? {}
            : { localQueue: { size: localQueueSize }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }),
        },
      },
    });
    await seen.allSeen;
  });
  await runner?.stop();
  await utils.release();
  return { seconds, notOnce: seen.notOnce };
}

function bulks(tasks: number): { from: number; count: number }[] {
  return Array.from({ length: Math.ceil(tasks / BULK) }, (_, n) => ({
    from: n * BULK,
    count: Math.min(BULK, tasks - n * BULK),
  }));
}
