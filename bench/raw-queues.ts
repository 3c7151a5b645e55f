import { createPostgresBackend, Queue, Worker } from 'bullmq';
import { PgBoss } from 'pg-boss';
import { ExactlyOnce, type Measurement, timed } from './measure.ts';

const CONCURRENCY = 50;
const BULK = 1_000;

/** BullMQ alone, no-op jobs, on Redis or on PostgreSQL. */
export async function measureBullMq(kind: 'redis' | 'postgres', url: string, tasks: number): Promise<Measurement> {
  const name = `raw-${kind}`;
  const seen = new ExactlyOnce(tasks);
  const process = async ({ id }: { id?: string | undefined }) => seen.saw(id!);
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
  const options = { concurrency: CONCURRENCY, autorun: false, ...removal };
  const worker =
    kind === 'redis'
      ? new Worker(name, process, { connection: { url, maxRetriesPerRequest: null }, ...options })
      : new Worker(
          name,
          process,
          { connection: { connectionString: url, max: 10 }, ...options },
          createPostgresBackend,
        );
  const seconds = await timed(async () => {
    void worker.run();
    for (let start = 0; start < tasks; start += BULK) {
      const size = Math.min(BULK, tasks - start);
      const jobs = Array.from({ length: size }, (_, i) => ({
        name: 'noop',
        data: {},
        opts: { jobId: `j${start + i}` },
      }));
      await queue.addBulk(jobs);
    }
    await seen.allSeen;
  });
  await worker.close();
  await queue.close();
  return { name: `BullMQ alone, ${kind === 'redis' ? 'Redis' : 'PostgreSQL'}`, tasks, seconds, notOnce: seen.notOnce };
}

/** pg-boss, no-op jobs. */
export async function measurePgBoss(url: string, tasks: number): Promise<Measurement> {
  const boss = new PgBoss({ connectionString: url, max: 10 });
  boss.on('error', () => {});
  await boss.start();
  await boss.createQueue('raw');
  const seen = new ExactlyOnce(tasks);
  const seconds = await timed(async () => {
    for (let start = 0; start < tasks; start += BULK) {
      const size = Math.min(BULK, tasks - start);
      await boss.insert(
        'raw',
        Array.from({ length: size }, () => ({ data: {} })),
      );
    }
    await Promise.all(Array.from({ length: 4 }, () => drain(boss, seen)));
    await seen.allSeen;
  });
  await boss.stop({ graceful: false });
  return { name: 'pg-boss', tasks, seconds, notOnce: seen.notOnce };
}

async function drain(boss: PgBoss, seen: ExactlyOnce): Promise<void> {
  while (true) {
    const jobs = await boss.fetch('raw', { batchSize: CONCURRENCY });
    if (jobs.length === 0) return;
    for (const { id } of jobs) seen.saw(id);
    await boss.complete(
      'raw',
      jobs.map(({ id }) => id),
    );
  }
}
