import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { redisIsHere, startRedis } from '../../harness/redis.ts';
import { atTheEnd } from '../support/clean-up.ts';
import { cloneTemplate } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, specOf, startSluice } from '../support/run-sluice.ts';

const hasRedis = await redisIsHere();

const flaky = (cooldown_seconds: number) => ({
  tools: {
    flaky: {
      argv: ['sh', '-c', '{input.script}'],
      concurrency: 1,
      breaker: { failure_threshold: 2, cooldown_seconds },
    },
  },
});
const task = (name: string, script: string) => ({ name, tool: 'flaky', input: { script }, max_retries: 0 });

let git: GitSandbox;
let databaseUrl: string;
beforeAll(async () => {
  git = await GitSandbox.create();
  databaseUrl = await cloneTemplate();
});
afterAll(() => git.remove());

async function breakerOf(sluice: RunningSluice) {
  return (await sluice.deps.daos.breakers.getByTool('flaky'))!;
}

test('a tool that crashes opens its breaker, which stays open across a restart of every process', async () => {
  const before = await startSluice({ databaseUrl, config: flaky(3_600) });
  await before.client.runs.submit(
    specOf(git.remote, [
      task('one', 'kill -SEGV $$'),
      task('two', 'exit 1'),
      task('held', 'true'),
      task('held-too', 'true'),
    ]),
  );
  await eventually('the open breaker', async () => (await breakerOf(before)).state === 'OPEN');
  expect(await breakerOf(before)).toMatchObject({ failure_count: 2, reason: 'consecutive_faults' });
  await before.stop();

  const after = await startSluice({ databaseUrl, config: flaky(3_600) });
  expect(await breakerOf(after)).toMatchObject({ state: 'OPEN', failure_count: 2 });
  const waiting = (await after.deps.daos.tasks.findBy({ tool: 'flaky', state: 'QUEUED' })).map(({ name }) => name);
  expect(waiting.toSorted()).toEqual(['held', 'held-too']);
  await after.stop();
});

test('P10: after the cooldown one probe is admitted, and its success closes the breaker and releases the waiting tasks', async () => {
  // The cooldown counts from the opening by the database's clock, so the shorter one is already over.
  const sluice = await startSluice({ databaseUrl, config: flaky(1) });
  await eventually('the closed breaker', async () => (await breakerOf(sluice)).state === 'CLOSED');
  const edges = await sluice.deps.daos.transitions.findByEntity((await breakerOf(sluice)).breaker_id);
  expect(edges.map(({ to_state }) => to_state)).toEqual(['CLOSED', 'OPEN', 'HALF_OPEN', 'CLOSED']);
  await eventually('the waiting tasks', async () => {
    const tasks = await sluice.deps.daos.tasks.findBy({ name: { $like: 'held%' } });
    return tasks.every(({ state, retry_count }) => state === 'COMPLETED' && retry_count === 0);
  });
  await sluice.stop();
});

test('P10: for twenty workers a broken tool opens one breaker: its tasks wait and keep their retries, and one probe at a time runs in the fleet', async () => {
  const redis = hasRedis ? await startRedis() : undefined;
  atTheEnd(() => redis?.stop());
  const tools = {
    broken: { argv: ['sh', '-c', '{input.script}'], breaker: { failure_threshold: 5, cooldown_seconds: 4 } },
  };
  const sluice = await startSluice({
    config: { tools, sandbox: { readable: [git.folder] } },
    redisUrl: redis?.url,
    workers: Array.from({ length: 20 }, () => ({ taskSlots: 1, gateSlots: 1 })),
  });
  const { daos } = sluice.deps;
  const mended = join(git.folder, 'mended');
  const script = `test -e '${mended}' || exit 1`;
  const tasks = Array.from({ length: 40 }, (_, n) => ({
    name: `t${n}`,
    tool: 'broken',
    input: { script },
    max_retries: 50,
  }));
  const { id } = await sluice.client.runs.submit(specOf(git.remote, tasks));
  const breaker = async () => (await daos.breakers.getByTool('broken'))!;
  await eventually('the trip', async () => (await breaker()).state === 'OPEN');
  const running = async () => daos.tasks.count({ tool: 'broken', state: 'RUNNING' });
  await eventually('quiet', async () => (await running()) === 0);
  const waiting = await daos.tasks.findBy({ tool: 'broken', state: 'QUEUED', dispatched_at: null });
  expect(waiting.length).toBeGreaterThan(0);
  // For a moment after each cooldown the next task is a probe and waits for nothing.
  const why = await eventually('the reason', async () => {
    const told = await sluice.client.explain(waiting[0]!.task_id);
    return told.code === 'tool_breaker' ? told : undefined;
  });
  expect(why).toMatchObject({ facts: { state: expect.stringMatching(/OPEN|HALF/) } });
  // From here until the breaker closes, every new attempt must be a probe.
  const before = await daos.tasks.findByRun(id);
  const attemptsBefore = before.reduce((sum, { attempt }) => sum + attempt, 0);
  const edges = async () =>
    (await daos.transitions.findByEntity((await breaker()).breaker_id)).map(({ to_state }) => to_state);
  await eventually(
    'two failed probes',
    async () => (await edges()).filter((state) => state === 'HALF_OPEN').length >= 2,
  );
  await eventually('quiet', async () => (await running()) === 0);
  const probes = (await edges()).filter((state) => state === 'HALF_OPEN').length;
  const attemptsAfter = (await daos.tasks.findByRun(id)).reduce((sum, { attempt }) => sum + attempt, 0);
  expect(attemptsAfter - attemptsBefore).toBeLessThanOrEqual(probes);
  // Tasks that never ran are still QUEUED and have used no retry.
  const untouched = (await daos.tasks.findByRun(id)).filter(({ attempt }) => attempt === 0);
  expect(untouched.length).toBeGreaterThan(0);
  for (const { state, retry_count } of untouched) expect([state, retry_count]).toEqual(['QUEUED', 0]);
  await writeFile(mended, '');
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
  expect((await edges()).filter((state) => state === 'CLOSED').length).toBe(2);
  await sluice.stop();
  await redis?.stop();
});

test('an operator trips and resets a breaker over the API, and the reason is recorded', async () => {
  const sluice = await startSluice({ config: flaky(3_600) });
  const tripped = await sluice.client.breakers.trip('flaky', { reason: 'it burns money' });
  expect(tripped).toMatchObject({
    state: 'OPEN',
    tripped_by: expect.stringMatching(/^local-.* tok_/),
    reason: 'it burns money',
  });
  const { id } = await sluice.client.runs.submit(specOf(git.remote, [task('held', 'true')]));
  await eventually('the reason', async () => (await sluice.client.explain('flaky')).facts.waiting === 1);
  expect((await sluice.client.tools()).items).toMatchObject([{ id: 'flaky', waits: expect.stringContaining('local') }]);
  await sluice.client.breakers.reset('flaky', { reason: 'mended' });
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
  await expect(sluice.client.breakers.trip('nobody', { reason: 'x' })).rejects.toMatchObject({
    code: 'entity.not_found',
  });
  await sluice.stop();
});
