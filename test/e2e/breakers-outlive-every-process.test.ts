import { afterAll, beforeAll, expect, test } from 'vitest';
import { cloneTemplate } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { GitSandbox } from '../support/git-sandbox.ts';
import { type RunningSluice, specOf, startSluice } from '../support/run-sluice.ts';

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

test('a tool that crashes opens its breaker, and it stays open over a restart of every process', async () => {
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

test('P10: after the cooldown one probe is admitted; its success closes the breaker and the waiting go on', async () => {
  // The cooldown counts from the opening, by the database's clock: shorter now, so it is over.
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
