import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { processesWithVariable, processesWorkingIn } from '../../src/lib/process-identity.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, shell, specOf, startSluice } from '../support/run-sluice.ts';

const TOOLS = {
  quiet: { argv: ['sh', '-c', '{input.script}'], idle_timeout_seconds: 1 },
  waits: { argv: ['sh', '-c', '{input.script}'], concurrency: 1 },
};
const tool = (name: string, script: string, more: object = {}) => ({
  name,
  tool: 'quiet',
  input: { script },
  max_retries: 0,
  ...more,
});

let git: GitSandbox;
let sluice: RunningSluice;
beforeAll(async () => {
  git = await GitSandbox.create();
  sluice = await startSluice({ config: { tools: TOOLS } });
});
afterAll(async () => {
  await sluice.stop();
  await git.remove();
});

async function running(spec: Parameters<typeof sluice.client.runs.submit>[0]) {
  const { id } = await sluice.client.runs.submit(spec);
  return eventually('a running task', async () => {
    const whole = await sluice.whole(id);
    const task = whole.run.tasks![0]!;
    return task.state === 'RUNNING' ? task : undefined;
  });
}

describe('a cancelled task leaves no process, even if its child', () => {
  test.each([
    ['ignores TERM', `trap '' TERM; echo ready; while :; do sleep 0.1; done`],
    ['forks out of its group', 'setsid sleep 300 & setsid sh -c "sleep 300 & sleep 300" & echo ready; sleep 300'],
    ['holds its output open', '(trap "" TERM; exec setsid sleep 300) & echo ready; exit 0 & wait'],
    ['empties its environment', 'env -i setsid sleep 300 & echo ready; sleep 300'],
    ['forks again and again', `trap '' TERM; echo ready; while :; do setsid sleep 300 & sleep 0.05; done`],
  ])('%s', async (_how, script) => {
    const task = await running(specOf(git.remote, [shell('stubborn', script)]));
    const marker = `SLUICE_TASK_ID=${task.id}`;
    await eventually('its output', async () => {
      for await (const { text } of sluice.client.tasks.logs(task.id)) if (text.includes('ready')) return true;
      return false;
    });
    await sluice.client.tasks.cancel(task.id, { reason: 'enough' });
    const slots = join(sluice.settings.dataDir, 'slots');
    const left = async () => [...(await processesWithVariable(marker)), ...(await processesWorkingIn(slots))];
    await eventually('nothing of it', async () => (await left()).length === 0);
    expect((await sluice.client.tasks.get(task.id)).state).toBe('CANCELLED');
    expect((await sluice.whole(task.run_id)).patch('stubborn')).toBeUndefined();
  });
});

describe('timeouts', () => {
  test('idle: a tool without output or change in its worktree is ended; either one keeps it alive', async () => {
    const { task } = await sluice.finish(
      specOf(git.remote, [
        tool('silent', 'sleep 60'),
        tool('talks', 'for i in 1 2 3 4 5; do echo $i; sleep 0.5; done; echo done > talks.txt'),
        tool('writes', 'for i in 1 2 3 4 5; do date +%N > writes.txt; sleep 0.5; done'),
      ]),
    );
    expect(task('silent')).toMatchObject({ state: 'FAILED', reason: 'tool_timeout:idle' });
    expect(task('talks').state).toBe('COMPLETED');
    expect(task('writes').state).toBe('COMPLETED');
  });

  test('run: a task’s own limit overrides the tool’s', async () => {
    const { task } = await sluice.finish(specOf(git.remote, [shell('slow', 'sleep 60', { timeout_seconds: 1 })]));
    expect(task('slow')).toMatchObject({ state: 'FAILED', reason: 'tool_timeout:run' });
  });

  test('queue: a task that waits longer than its queue timeout FAILS with queue_timeout', async () => {
    const { id } = await sluice.client.runs.submit(
      specOf(git.remote, [
        { name: 'holds', tool: 'waits', input: { script: 'sleep 4' }, max_retries: 0 },
        { name: 'late', tool: 'waits', input: { script: 'true' }, depends_on: [], queue_timeout_seconds: 1 },
      ]),
    );
    const late = await eventually('the time-out', async () => {
      const found = (await sluice.whole(id)).task('late');
      return found.state === 'FAILED' ? found : undefined;
    });
    expect(late).toMatchObject({ reason: 'queue_timeout', attempt: 0 });
  });
});

describe('output', () => {
  test('a flood of output is stored as its head and tail, with the number of characters left out', async () => {
    const flood = 'echo the-head; yes 0123456789012345678901234567890123456789 | head -c 9000000; echo the-tail';
    const { run } = await sluice.finish(specOf(git.remote, [shell('flood', flood)]));
    let [text, words] = ['', ''];
    for await (const chunk of sluice.client.tasks.logs(run.tasks![0]!.id)) {
      if (chunk.stream === 'sluice') words += chunk.text;
      else text += chunk.text;
    }
    expect(text.startsWith('the-head\n')).toBe(true);
    expect(text.trimEnd().endsWith('the-tail')).toBe(true);
    expect(text.length).toBeGreaterThan(4 * 1024 * 1024);
    expect(text.length).toBeLessThan(6 * 1024 * 1024);
    expect(words).toMatch(/… \d+ characters are left out …/);
  });

  test('a log follower receives a line while the task still runs', async () => {
    const task = await running(specOf(git.remote, [shell('talks', 'echo first; sleep 300')]));
    for await (const { text } of sluice.client.tasks.logs(task.id, { follow: true })) {
      expect(text).toBe('first\n');
      break;
    }
    expect((await sluice.client.tasks.get(task.id)).state).toBe('RUNNING');
    await sluice.client.tasks.cancel(task.id);
  });

  test('output that a tool prints on a cancel reaches log followers and is stored', async () => {
    const script = `trap 'echo last words; exit 1' TERM; echo ready; while :; do sleep 0.1; done`;
    const task = await running(specOf(git.remote, [shell('speaks', script)]));
    const all = async (follow = false) => {
      let text = '';
      for await (const chunk of sluice.client.tasks.logs(task.id, { follow })) text += chunk.text;
      return text;
    };
    await eventually('its output', async () => (await all()).includes('ready'));
    const followed = all(true);
    await sluice.client.tasks.cancel(task.id);
    expect(await followed).toContain('last words');
    expect(await all()).toContain('last words');
  });
});

test('a named pipe in place of a file that Sluice reads does not block the task', async () => {
  const script =
    'rm -f "$SLUICE_MESSAGE_FILE" "$SLUICE_COST_FILE"; mkfifo "$SLUICE_MESSAGE_FILE" "$SLUICE_COST_FILE"; echo x > piped.txt';
  const { task } = await sluice.finish(specOf(git.remote, [shell('pipes', script)]));
  expect(task('pipes')).toMatchObject({ state: 'COMPLETED', cost_usd: 0 });
});
