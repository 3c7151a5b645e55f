import { afterAll, beforeAll, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { redisIsHere, startRedis } from '../../harness/redis.ts';
import { TcpProxy } from '../../harness/tcp-proxy.ts';
import { createDaos } from '../../src/dao/all.ts';
import { Database } from '../../src/database/database.ts';
import { sleep } from '../../src/lib/clock.ts';
import { atTheEnd } from '../support/clean-up.ts';
import { cloneTemplate } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { shell, specOf, startSluice } from '../support/run-sluice.ts';
import { spawnSluice } from '../support/sluice-process.ts';

const hasRedis = await redisIsHere();

let git: GitSandbox;
beforeAll(async () => {
  git = await GitSandbox.create();
});
afterAll(() => git.remove());

test('a busy worker with a backlog of tasks and a free gate slot does not count as starving', async () => {
  const sluice = await startSluice({ workers: [{ taskSlots: 2, gateSlots: 1 }] });
  const { id } = await sluice.client.runs.submit(
    specOf(
      git.remote,
      Array.from({ length: 6 }, (_, n) => shell(`busy${n}`, 'sleep 9')),
    ),
  );
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
  const [worker] = (await sluice.client.workers.list()).items;
  expect(worker).toMatchObject({ id: sluice.workerIds[0], starving_since: null });
  for (const { attempt, interruptions } of (await sluice.whole(id)).run.tasks!)
    expect([attempt, interruptions]).toEqual([1, 0]);
  expect((await sluice.client.stats()).repairs).toEqual({});
  await sluice.stop();
});

// These two run side by side, because most of their time is waiting.
if (hasRedis) {
  test.concurrent('a worker whose Redis connections silently died reconnects and goes on, and its running task is not interrupted', async () => {
    const redis = await startRedis();
    atTheEnd(() => redis.stop());
    const proxy = await TcpProxy.start(Number(new URL(redis.url).port));
    const databaseUrl = await cloneTemplate();
    // Only the worker reaches Redis through the proxy; the publisher connects directly.
    const worker = await startSluice({ databaseUrl, redisUrl: proxy.through(redis.url), scheduler: false });
    const rest = await startSluice({ databaseUrl, redisUrl: redis.url, workers: [] });
    const ready = async () =>
      (await (await fetch(`${rest.url}/readyz`)).json()) as { checks: Record<string, { ok: boolean; code?: string }> };
    const { id: long } = await rest.client.runs.submit(
      specOf(git.remote, [shell('long', 'sleep 20; echo long > long.txt')]),
    );
    await eventually('a running task', async () => (await rest.deps.daos.tasks.findByState('RUNNING'))[0]);
    expect((await ready()).checks.consuming).toEqual({ ok: true });
    // New connections are frozen too, until `restore`.
    proxy.freeze({ new: true });
    const { id } = await rest.client.runs.submit(specOf(git.remote, [shell('next', 'echo next > next.txt')]));
    await eventually('not ready', async () => (await ready()).checks.consuming!.code === 'queue.not_consumed');
    proxy.restore();
    await eventually('the end', async () => (await rest.client.runs.get(id)).state === 'COMPLETED');
    await eventually('ready again', async () => (await ready()).checks.consuming!.ok);
    await eventually('the end', async () => (await rest.client.runs.get(long)).state === 'COMPLETED');
    expect((await rest.whole(long)).task('long')).toMatchObject({ attempt: 1, interruptions: 0 });
    expect((await rest.client.workers.list()).items).toMatchObject([{ id: worker.workerIds[0], starving_since: null }]);
    await worker.stop();
    await rest.stop();
    await proxy.stop();
    await redis.stop();
  });

  test.concurrent('P1: while Redis is down for a minute workers wait without giving up, and go on when it is back', async () => {
    const redis = await startRedis();
    atTheEnd(() => redis.stop());
    const databaseUrl = await cloneTemplate();
    const sluice = await spawnSluice({ databaseUrl, redisUrl: redis.url });
    const database = new Database({ url: databaseUrl });
    await database.start();
    const daos = createDaos(database);
    const before = (await daos.workers.findBy({})).map(({ worker_id }) => worker_id);
    await redis.kill();
    const { id } = await sluice.client.runs.submit(specOf(git.remote, [shell('late', 'echo late > late.txt')]));
    // Longer than the 20 s after which a worker with a broken connection gives up.
    await sleep(60_000);
    await redis.restart();
    await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
    expect((await daos.workers.findBy({})).map(({ worker_id }) => worker_id)).toEqual(before);
    await sluice.stop();
    await database.stop();
    await redis.stop();
  });
}
