import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { redisIsHere, startRedis, type TestRedis } from '../../harness/redis.ts';
import { TcpProxy } from '../../harness/tcp-proxy.ts';
import type { Work } from '../../src/domain/work.ts';
import { claimTasks } from '../../src/ledger/attempts/claims.ts';
import { sleep } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { Dispatch } from '../../src/pipeline/dispatch.ts';
import { QueueConsumer } from '../../src/queues/consumer.ts';
import { type PooledMessage, QueuePublisher } from '../../src/queues/publisher.ts';
import { createQueueBackend, type QueueBackend } from '../../src/queues/queue-backend.ts';
import { Builders } from '../support/builders.ts';
import { atTheEnd } from '../support/clean-up.ts';
import { cloneTemplate, createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { claimOf } from '../support/ledger-words.ts';
import { shell, specOf, startSluice } from '../support/run-sluice.ts';

const hasRedis = await redisIsHere();

/** One suite for both backends: the behaviour that the rest of Sluice relies on. */
function conformance(kind: 'postgres' | 'redis'): void {
  describe(`queues on ${kind}`, () => {
    let redis: TestRedis | undefined;
    let databaseUrl: string;
    let backend: QueueBackend;
    let publisher: QueuePublisher;
    beforeAll(async () => {
      databaseUrl = await cloneTemplate();
      redis = kind === 'redis' ? await startRedis() : undefined;
      backend = createQueueBackend({ redisUrl: redis?.url, databaseUrl });
      await backend.prepare('test');
      publisher = new QueuePublisher(backend);
    });
    afterAll(async () => {
      await publisher.stop();
      await backend.close();
      await redis?.stop();
    });

    const returned: string[] = [];
    async function consume(queue: string, deliver: (work: Work) => Promise<void>, slots = 2) {
      const giveBack = async (work: readonly Work[]) => void returned.push(...work.map(({ id }) => id));
      const consumer = new QueueConsumer({ backend, queue, slots, deliver, giveBack, log: silentLog() });
      await consumer.start();
      return consumer;
    }
    const message = (id: string, dispatch: number, pool: string): PooledMessage => ({
      pool,
      name: 'tool',
      work: [{ id, dispatch }],
    });

    test('each message is delivered once, from the queue of its pool', async () => {
      const seen: Work[] = [];
      const consumer = await consume('tasks.alpha', async (received) => void seen.push(received));
      await publisher.publish('tasks', [message('a', 1, 'alpha'), message('b', 1, 'alpha'), message('c', 1, 'beta')]);
      await eventually('both messages', async () => seen.length === 2);
      expect(seen.toSorted((x, y) => x.id.localeCompare(y.id))).toEqual([
        { id: 'a', dispatch: 1 },
        { id: 'b', dispatch: 1 },
      ]);
      await consumer.stop();
    });

    test('a later dispatch of a task is delivered while the first is still in progress', async () => {
      const seen: number[] = [];
      let release = (): void => {};
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      const consumer = await consume('tasks.again', async ({ dispatch }) => {
        seen.push(dispatch);
        if (dispatch === 1) await held;
      });
      await publisher.publish('tasks', [message('same', 1, 'again')]);
      await eventually('the first dispatch', async () => seen.includes(1));
      await publisher.publish('tasks', [message('same', 2, 'again')]);
      await eventually('the second dispatch', async () => seen.includes(2));
      release();
      await consumer.stop();
    });

    test('a message whose handler throws is not delivered again, because the ledger decides about retries', async () => {
      let deliveries = 0;
      const consumer = await consume('tasks.throws', async () => {
        deliveries += 1;
        throw new Error('boom');
      });
      await publisher.publish('tasks', [message('bad', 1, 'throws'), message('next', 1, 'throws')]);
      await eventually('both deliveries', async () => deliveries === 2);
      const counts = await publisher.queue('tasks.throws').getJobCounts('waiting', 'active', 'failed', 'delayed');
      expect(counts).toMatchObject({ waiting: 0, delayed: 0, failed: 0 });
      await consumer.stop();
    });

    test('the work of one message is delivered in the slots of its consumer, and a failure stops none of the rest', async () => {
      const seen: string[] = [];
      let at = 0;
      let most = 0;
      const consumer = await consume('tasks.many', async ({ id }) => {
        at += 1;
        most = Math.max(most, at);
        await sleep(5);
        at -= 1;
        seen.push(id);
        if (id === 'a3') throw new Error('boom');
      });
      const group = (name: string, count: number): PooledMessage => {
        const [first, ...others] = Array.from({ length: count }, (_, n) => ({ id: `${name}${n}`, dispatch: 1 }));
        return { pool: 'many', name: 'tool', work: [first!, ...others] };
      };
      await publisher.publish('tasks', [group('a', 7), group('b', 5), group('c', 1)]);
      await eventually('all of it', async () => seen.length === 13);
      expect(new Set(seen).size).toBe(13);
      expect(most).toBe(2);
      await eventually('free slots', async () => consumer.free === 2);
      // The queue hears of the end of a message a moment after its slot is free.
      await eventually('an empty queue', async () => {
        const counts = await publisher.queue('tasks.many').getJobCounts('waiting', 'active', 'failed');
        return Object.values(counts).every((count) => count === 0);
      });
      await consumer.stop();
    });

    test('work that waits for a slot is given back after a second, and at once in a pause', async () => {
      const began: string[] = [];
      const end = Promise.withResolvers<void>();
      const consumer = await consume('tasks.crowded', async ({ id }) => {
        began.push(id);
        await end.promise;
      });
      const group = (name: string, count: number): PooledMessage => {
        const [first, ...others] = Array.from({ length: count }, (_, n) => ({ id: `${name}${n}`, dispatch: 1 }));
        return { pool: 'crowded', name: 'tool', work: [first!, ...others] };
      };
      await publisher.publish('tasks', [group('long', 4)]);
      await eventually('what waited', async () => returned.length === 2);
      expect(began).toEqual(['long0', 'long1']);
      expect(returned.splice(0).toSorted()).toEqual(['long2', 'long3']);
      await consumer.pause();
      end.resolve();
      await eventually('free slots', async () => consumer.free === 2);
      await consumer.stop();
      const draining = await consume('tasks.drained', () => new Promise(() => {}), 1);
      await publisher.publish('tasks', [{ ...group('d', 3), pool: 'drained' }]);
      await eventually('a busy slot', async () => draining.free === 0);
      await draining.pause();
      await eventually('what waited', async () => returned.length === 2);
      expect(returned.splice(0).toSorted()).toEqual(['d1', 'd2']);
      await draining.reopen();
    });

    test('stop waits for the delivery in progress', async () => {
      let done = false;
      let started = false;
      const consumer = await consume('tasks.stop', async () => {
        started = true;
        await new Promise((resolve) => setTimeout(resolve, 300));
        done = true;
      });
      await publisher.publish('tasks', [message('one', 1, 'stop')]);
      await eventually('the delivery', async () => started);
      await consumer.stop();
      expect(done).toBe(true);
    });

    test('a message published after connections were cut, or silently died, arrives', async () => {
      const upstream = new URL(redis?.url ?? databaseUrl);
      const proxy = await TcpProxy.start(Number(upstream.port));
      const through = (url: string): string => proxy.through(url);
      const broken = createQueueBackend({
        redisUrl: redis === undefined ? undefined : through(redis.url),
        databaseUrl: redis === undefined ? through(databaseUrl) : databaseUrl,
      });
      await broken.prepare('test');
      const sender = new QueuePublisher(broken);
      const seen: string[] = [];
      const consumer = await consume('tasks.broken', async ({ id }) => void seen.push(id));
      const arrives = async (id: string): Promise<void> => {
        // Resend a refused message under another number, as the dispatcher does.
        await eventually(`${id} to be taken`, () =>
          sender.publish('tasks', [message(id, Date.now(), 'broken')]).then(
            () => true,
            () => false,
          ),
        );
        await eventually(`${id} to arrive`, async () => seen.includes(id));
      };
      await arrives('before');
      proxy.cut();
      await expect(sender.publish('tasks', [message('lost', 1, 'broken')])).rejects.toMatchObject({
        code: 'queue.unreachable',
        retryable: true,
      });
      proxy.restore();
      await arrives('after a cut');
      proxy.freeze();
      await arrives('after silence');
      await consumer.stop();
      await sender.stop();
      await broken.close();
      await proxy.stop();
    });

    test('a whole run lands, dependencies and gates included', async () => {
      const git = await GitSandbox.create();
      const sluice = await startSluice({ databaseUrl, redisUrl: redis?.url });
      const { run } = await sluice.finish(
        specOf(git.remote, [shell('one', 'echo 1 > 1.txt'), shell('two', 'echo 2 > 2.txt', { depends_on: ['one'] })]),
      );
      expect(run.state).toBe('COMPLETED');
      expect(await git.subjects()).toEqual(['change', 'test: one', 'test: two']);
      await sluice.stop();
      await git.remove();
    });
  });
}

conformance('postgres');
if (hasRedis) {
  conformance('redis');

  describe('a Redis that fails', () => {
    test('P1: a task that Redis refuses waits in the ledger again at once, and a late message of that dispatch claims nothing', async () => {
      const redis = await startRedis();
      atTheEnd(() => redis.stop());
      const { daos, ledger } = await createTestDatabase();
      const build = new Builders(daos);
      const backend = createQueueBackend({ redisUrl: redis.url, databaseUrl: '' });
      const publisher = new QueuePublisher(backend);
      atTheEnd(async () => {
        await publisher.stop();
        await backend.close();
      });
      await backend.prepare('test');
      const { worker_id } = await build.worker();
      await build.gate();
      await build.task();
      await new Dispatch({ ledger, publisher, log: silentLog() }).round();
      const { task_id } = await build.task();
      const { gate_id } = await build.gate();
      await redis.kill();
      const refused = new Dispatch({ ledger, publisher, log: silentLog() }).round();
      await expect(refused).rejects.toMatchObject({ code: 'queue.unreachable' });
      expect(await daos.tasks.get(task_id)).toMatchObject({ state: 'QUEUED', dispatch: 1, dispatched_at: null });
      expect(await daos.gates.get(gate_id)).toMatchObject({ state: 'PENDING', dispatch: 1, dispatched_at: null });
      expect(await ledger.write((tx) => claimTasks(tx, [claimOf(task_id, worker_id, 1)]))).toEqual([undefined]);
      await redis.restart();
      await eventually('it is dispatched', async () => {
        await new Dispatch({ ledger, publisher, log: silentLog() }).round().catch(() => {});
        return (await daos.tasks.get(task_id)).dispatched_at !== null;
      });
      expect((await daos.tasks.get(task_id)).dispatch).toBeGreaterThan(1);
    });

    test('P1: a task that Redis neither takes nor refuses in time stays dispatched, because its message may still arrive', async () => {
      const redis = await startRedis();
      atTheEnd(() => redis.stop());
      const proxy = await TcpProxy.start(Number(new URL(redis.url).port));
      atTheEnd(() => proxy.stop());
      const { daos, ledger } = await createTestDatabase();
      const build = new Builders(daos);
      const backend = createQueueBackend({ redisUrl: proxy.through(redis.url), databaseUrl: '' });
      const publisher = new QueuePublisher(backend);
      atTheEnd(async () => {
        await publisher.stop();
        await backend.close();
      });
      await backend.prepare('test');
      await build.worker();
      const first = await build.task();
      await new Dispatch({ ledger, publisher, log: silentLog() }).round();
      const second = await build.task();
      proxy.freeze({ new: true });
      await expect(new Dispatch({ ledger, publisher, log: silentLog() }).round()).rejects.toMatchObject({
        code: 'queue.unreachable',
        facts: { in_doubt: true },
      });
      for (const { task_id } of [first, second]) {
        expect(await daos.tasks.get(task_id)).toMatchObject({ dispatch: 1, dispatched_at: expect.any(Date) });
      }
    });

    test('P1: a Redis flushed in the middle of a run and stopped for a while costs time but no work', async () => {
      const git = await GitSandbox.create();
      const redis = await startRedis();
      atTheEnd(() => redis.stop());
      const sluice = await startSluice({ redisUrl: redis.url });
      const tasks = Array.from({ length: 6 }, (_, n) => shell(`t${n}`, `sleep 0.3; echo ${n} > ${n}.txt`));
      const { id } = await sluice.client.runs.submit(specOf(git.remote, tasks));
      await eventually('a running task', async () => (await sluice.deps.daos.tasks.findByState('RUNNING'))[0]);
      await redis.client.flushall();
      await redis.kill();
      // While Redis is down runs can be submitted, and readiness and the board report the outage.
      const second = await sluice.client.runs.submit(specOf(git.remote, [shell('late', 'echo late > late.txt')]));
      expect(await (await fetch(`${sluice.url}/readyz`)).json()).toMatchObject({
        checks: { queue: { code: 'queue.unreachable' } },
      });
      const headers = { authorization: `Bearer ${sluice.token}` };
      expect((await fetch(`${sluice.url}/board/api/queues`, { headers })).status).toBe(503);
      await redis.restart();
      for (const run of [id, second.id]) {
        await eventually('the end', async () => (await sluice.client.runs.get(run)).state === 'COMPLETED');
      }
      expect((await git.subjects()).length).toBe(1 + 7);
      await sluice.stop();
      await redis.stop();
      await git.remove();
    });

    test('a Redis that may evict keys is refused with a code', async () => {
      const redis = await startRedis();
      atTheEnd(() => redis.stop());
      await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru');
      const backend = createQueueBackend({
        redisUrl: redis.url,
        databaseUrl: 'postgresql://x/y',
      });
      await expect(backend.prepare('test')).rejects.toMatchObject({ code: 'queue.policy' });
      await backend.close();
      await redis.stop();
    });

    test('an unreachable Redis is a coded, retryable error', async () => {
      const backend = createQueueBackend({
        redisUrl: 'redis://127.0.0.1:1',
        databaseUrl: 'postgresql://x/y',
      });
      await expect(backend.prepare('test')).rejects.toMatchObject({ code: 'queue.unreachable', retryable: true });
      await backend.close();
    });
  });
}
