import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { runSluice } from '../support/command-line.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, specOf, startSluice } from '../support/run-sluice.ts';

const TOOLS = { agent: { argv: ['sh', '-c', '{input.script}'], concurrency: 1, budget: { usd_per_day: 9 } } };

let git: GitSandbox;
let sluice: RunningSluice;
beforeAll(async () => {
  git = await GitSandbox.create();
  sluice = await startSluice({ config: { tools: TOOLS, sandbox: { readable: [git.folder] } } });
});
afterAll(async () => {
  await sluice.stop();
  await git.remove();
});

const cli = (...args: string[]) =>
  runSluice(args, {
    cwd: git.folder,
    environment: { SLUICE_URL: sluice.url, SLUICE_DATA_DIR: sluice.settings.dataDir },
  });

const task = (name: string, script: string) => ({ name, tool: 'agent', input: { script }, max_retries: 0 });

test('an operator trips and resets a tool, and `explain` says why its task waits, as text and as JSON', async () => {
  expect(await cli('breaker', 'trip', 'agent')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('--reason'),
  });
  expect(await cli('breaker', 'trip', 'agent', '--reason', 'too dear')).toMatchObject({
    exitCode: 0,
    stdout: 'agent OPEN\n',
  });
  const { id } = await sluice.client.runs.submit(specOf(git.remote, [task('held', 'true')]));
  const held = await eventually('the wait', async () => {
    const found = (await sluice.whole(id)).task('held');
    return found.state === 'QUEUED' ? found : undefined;
  });
  const words = await cli('explain', held.id);
  expect(words.stdout).toMatch(
    /^task task_\w+ QUEUED waits: local-\S+ tok_\w+ stopped the tool agent \(too dear\)\.\n {2}tool_breaker; /,
  );
  expect(JSON.parse((await cli('-o', 'json', 'explain', held.id)).stdout)).toMatchObject({ code: 'tool_breaker' });
  expect((await cli('tool', 'list')).stdout).toContain('stopped the tool agent');
  expect((await cli('breaker', 'list')).stdout).toMatch(/agent\s+OPEN\s+0\/5\s+too dear\s+local/);
  expect((await cli('breaker', 'reset', 'agent', '--reason', 'cheap again')).stdout).toBe('agent CLOSED\n');
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
});

test('`run retry` runs a failed run again, and `task retry` of a completed task is refused with a code', async () => {
  const mended = join(git.folder, 'mended');
  const { run } = await sluice.finish(specOf(git.remote, [task('fails', `test -e '${mended}'`)]));
  const [failed] = run.tasks!;
  expect(failed!.state).toBe('FAILED');
  await writeFile(mended, '');
  expect((await cli('run', 'retry', run.id, '--reason', 'mended')).stdout).toBe(`${run.id} RUNNING\n`);
  await eventually('the end', async () => (await sluice.client.runs.get(run.id)).state === 'COMPLETED');
  const again = await cli('task', 'retry', failed!.id, '--reason', 'once more');
  expect(again).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('state.changed') });
  expect(await sluice.client.tasks.get(failed!.id)).toMatchObject({ attempt: 2, retry_count: 0 });
});

test('an operator raises the budgets of a run and a task; an invalid amount exits with 2', async () => {
  const { run } = await sluice.finish(specOf(git.remote, [task('cheap', 'true')], { budget: { usd: 1 } }));
  expect((await cli('run', 'budget', run.id, '--usd', '5', '--reason', 'more')).stdout).toBe(`${run.id} $0 of $5\n`);
  expect((await cli('task', 'budget', run.tasks![0]!.id, '--usd', '2.5', '--reason', 'more')).exitCode).toBe(0);
  for (const amount of ['much', '-1', '']) {
    expect((await cli('run', 'budget', run.id, '--usd', amount, '--reason', 'x')).exitCode).toBe(2);
  }
});

test('an operator lists and drains workers; an unknown id is not found', async () => {
  const [workerId] = sluice.workerIds;
  expect((await cli('worker', 'list')).stdout).toContain(workerId);
  expect(await cli('worker', 'drain', 'wrk_none', '--reason', 'x')).toMatchObject({ exitCode: 2 });
  expect((await cli('worker', 'drain', workerId!, '--reason', 'a new kernel')).stdout).toBe(`${workerId} draining\n`);
  expect((await cli('explain', workerId!)).stdout).toContain('draining');
  expect(await cli('explain', 'nothing')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('entity.not_found'),
  });
});
