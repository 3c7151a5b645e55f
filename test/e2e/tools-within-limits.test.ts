import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { findBubblewrap } from '../../src/children/sandbox.ts';
import type { ConfigFileInput } from '../../src/contract/config-schema.ts';
import { sql } from '../../src/database/database.ts';
import { processesWithVariable } from '../../src/lib/process-identity.ts';
import { bubblewrapWorks } from '../support/bubblewrap.ts';
import { atTheEnd } from '../support/clean-up.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, specOf, startSluice } from '../support/run-sluice.ts';

const script = ['sh', '-c', '{input.script}'];
const TOOLS: ConfigFileInput['tools'] = {
  agent: { argv: script, budget: { usd_per_day: 100 }, exit_codes: { fault: [1], fatal: [2], limited: [75] } },
  keyed: { argv: script, env: ['AGENT_KEY'] },
  boxed: { argv: script, sandbox: { kind: 'bubblewrap' } },
  crashing: { argv: ['sh', '-c', 'kill -SEGV $$'], sandbox: { kind: 'bubblewrap' } },
  missing: { argv: ['sluice-no-such-program'], sandbox: { kind: 'bubblewrap' } },
  absent: { argv: ['sluice-no-such-program'], limits: { file_size_bytes: 1024 * 1024 } },
  offline: { argv: script, sandbox: { kind: 'bubblewrap', network: false } },
  small: { argv: script, limits: { memory_bytes: 64 * 1024 * 1024, file_size_bytes: 1024 * 1024, processes: 8 } },
};
const task = (name: string, tool: string, text: string, more: object = {}) => ({
  name,
  tool,
  input: { script: text },
  max_retries: 0,
  ...more,
});

let git: GitSandbox;
let home: string;
let sluice: RunningSluice;
beforeAll(async () => {
  git = await GitSandbox.create();
  // Not below /tmp, because a sandbox hides /tmp anyway.
  home = await mkdtemp('/var/tmp/sluice-test-home-');
  await writeFile(join(home, 'secret.key'), 'daemon secret');
  sluice = await startSluice({
    config: { tools: TOOLS },
    environment: { HOME: home, DAEMON_SECRET: 'hidden', AGENT_KEY: 'sk-agent-123456' },
  });
});
afterAll(async () => {
  await sluice.stop();
  await git.remove();
  await rm(home, { recursive: true, force: true });
});

async function outputOf({ client }: RunningSluice, taskId: string): Promise<string> {
  let text = '';
  for await (const chunk of client.tasks.logs(taskId)) text += chunk.text;
  return text;
}

test('a secret in the commit message, in a file or in its name quarantines the patch, and is stored in none of its columns', async () => {
  const done = await sluice.finish(
    specOf(git.remote, [
      task('message', 'keyed', 'echo x > said.txt; echo "with $AGENT_KEY" > "$SLUICE_MESSAGE_FILE"'),
      task('name', 'keyed', 'echo x > "$AGENT_KEY"'),
      task('content', 'keyed', 'echo "key = $AGENT_KEY" > said.txt'),
      task('many', 'keyed', 'for n in $(seq 2001); do printf "\\000" > "b$n"; done; printf "\\000$AGENT_KEY" > last'),
    ]),
  );
  const names = ['message', 'name', 'content', 'many'];
  for (const name of names) expect(done.patch(name)).toMatchObject({ state: 'QUARANTINED', reason: 'holds_secret' });
  expect(done.patch('message')!.message).toBe('with [redacted]');
  const stored = await Promise.all(names.map((name) => sluice.deps.daos.patches.get(done.patch(name)!.id)));
  for (const row of stored) expect(JSON.stringify({ ...row, diff: String(row.diff) })).not.toContain('sk-agent');
  expect(String(stored[2]!.diff)).toContain('key = [redacted]');
});

describe('costs and budgets', () => {
  test('a tool reports its cost in a file or as JSON lines; the file wins over lines, and the last line counts', async () => {
    const done = await sluice.finish(
      specOf(git.remote, [
        task('file', 'agent', `echo '{"usd": 0.5}' > "$SLUICE_COST_FILE"; echo '{"total_cost_usd": 9}'`),
        task('lines', 'agent', `echo '{"total_cost_usd": 0.1}'; echo '{"type":"result","total_cost_usd": 0.25}'`),
        task('silent', 'agent', 'echo total_cost_usd: 3'),
        task('fails', 'agent', `echo '{"usd": 1}' > "$SLUICE_COST_FILE"; exit 2`),
      ]),
    );
    const costs = ['file', 'lines', 'silent', 'fails'].map((name) => done.task(name).cost_usd);
    expect(costs).toEqual([0.5, 0.25, 0, 1]);
    expect(done.run.cost_usd).toBeCloseTo(1.75);
  });

  test('a run that has spent its budget waits with the reason, fails no task, and goes on when the budget is raised', async () => {
    const spend = `echo '{"usd": 2}' > "$SLUICE_COST_FILE"`;
    const { id } = await sluice.client.runs.submit(
      specOf(git.remote, [task('dear', 'agent', spend), task('next', 'agent', 'true', { depends_on: ['dear'] })], {
        budget: { usd: 1 },
      }),
    );
    const next = await eventually('the wait', async () => {
      const found = (await sluice.whole(id)).task('next');
      return found.state === 'QUEUED' ? found : undefined;
    });
    await eventually('the reason', async () => (await sluice.client.explain(next.id)).code === 'run_budget');
    expect(await sluice.client.explain(id)).toMatchObject({ code: 'run_budget', state: 'RUNNING' });
    await sluice.client.runs.budget(id, { usd: 10, reason: 'worth it' });
    await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
    expect((await sluice.whole(id)).task('next')).toMatchObject({ retry_count: 0, attempt: 1 });
  });

  test('a tool that has spent its daily budget starts again on the next day', async () => {
    const { database } = sluice.deps;
    await database.query(sql`
      insert into tool_costs values ('agent', (now() at time zone 'UTC')::date, 200)
      on conflict (tool_name, day) do update set usd = 200`);
    const { id } = await sluice.client.runs.submit(specOf(git.remote, [task('tomorrow', 'agent', 'true')]));
    const waiting = await eventually('the wait', async () => {
      const found = (await sluice.whole(id)).task('tomorrow');
      return found.state === 'QUEUED' ? found : undefined;
    });
    expect(await sluice.client.explain(waiting.id)).toMatchObject({ code: 'tool_budget' });
    await database.query(sql`update tool_costs set day = day - 1`);
    await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
  });
});

test('a limited tool reports when it may be called again, and its task is retried then without using a retry', async () => {
  const limited = `if [ "$SLUICE_ATTEMPT" = 1 ]; then echo '{"retry_after_seconds": 8}' > "$SLUICE_COST_FILE"; exit 75; fi`;
  const { id } = await sluice.client.runs.submit(specOf(git.remote, [task('limited', 'agent', limited)]));
  const retrying = await eventually('the wait', async () => {
    const found = (await sluice.whole(id)).task('limited');
    return found.state === 'RETRYING' ? found : undefined;
  });
  const why = await sluice.client.explain(retrying.id);
  expect(why).toMatchObject({ code: 'tool_limited' });
  expect(Date.parse(why.again_at!) - Date.now()).toBeLessThan(8_500);
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
  expect((await sluice.whole(id)).task('limited')).toMatchObject({ attempt: 2, retry_count: 0 });
});

const hasBubblewrap = await bubblewrapWorks();

describe.skipIf(!hasBubblewrap)('the sandbox', () => {
  test('a sandboxed tool can write only its own folders, and sees no daemon secret, foreign process or foreign socket', async () => {
    // Outside the sandbox: a process with the secret in its environment, and a listening socket.
    const neighbour = spawn('sleep', ['300'], { env: { PATH: process.env.PATH, DAEMON_SECRET: 'hidden' } });
    const user = process.getuid!();
    const socket = join(user === 0 ? '/run' : `/run/user/${user}`, `sluice-test-${process.pid}.sock`);
    const server = createServer((connection) => connection.end('hello')).listen(socket);
    atTheEnd(() => {
      neighbour.kill('SIGKILL');
      server.close();
    });
    const connect = `node -e "require('net').connect('${socket}').on('data', () => console.log('REACHED-SOCKET')).on('error', () => {})"`;
    const reach = `
      grep -lz '^DAEMON_SECRET=' /proc/[0-9]*/environ 2>/dev/null | grep -q . && echo SAW-SECRET
      ls -A '${home}' | grep -q secret && echo SAW-HOME
      ${connect}; true`;
    const probe = `${reach}
      echo made > made.txt; echo cache > "$HOME/cache"; echo tmp > "$TMPDIR/tmp"; echo 0.1 > /tmp/mine
      touch /usr/made 2>/dev/null && echo WROTE-SYSTEM; touch "$(dirname "$PWD")/made" 2>/dev/null
      umount '${home}' /tmp 2>/dev/null; mount -o remount,rw,bind / 2>/dev/null; touch /usr/made 2>/dev/null && echo WROTE-SYSTEM
      ls -A '${sluice.settings.dataDir}' | tr '\\n' ' '; echo
      echo "processes: $(ls -d /proc/[0-9]* | wc -l)"
      git log --oneline | wc -l
      echo message > "$SLUICE_MESSAGE_FILE"`;
    const done = await sluice.finish(specOf(git.remote, [task('boxed', 'boxed', probe)]));
    const text = await outputOf(sluice, done.task('boxed').id);
    expect(text).not.toMatch(/WROTE-|SAW-|REACHED-/);
    // Control: without a sandbox the same probe finds all of it.
    const open = await startSluice({ config: { tools: TOOLS, sandbox: { mode: 'none', run_as: 'daemon' } } });
    const control = await open.finish(specOf(git.remote, [task('free', 'agent', reach)]));
    const free = await outputOf(open, control.task('free').id);
    await open.stop();
    for (const seen of ['SAW-SECRET', 'SAW-HOME', 'REACHED-SOCKET']) expect(free).toContain(seen);
    expect(text).toMatch(/^mirrors slots $/m);
    const slots = join(sluice.settings.dataDir, 'slots');
    for (const slot of await readdir(slots)) expect(await readdir(join(slots, slot))).not.toContain('made');
    expect(Number(/processes: (\d+)/.exec(text)![1])).toBeLessThan(12);
    expect(done.task('boxed').state).toBe('COMPLETED');
    expect(done.patch('boxed')).toMatchObject({ paths: ['made.txt'], message: 'message' });
  });

  test('a tool with network: false reaches no listener that a tool with a network reaches', async () => {
    const probe = `(exec 3<>/dev/tcp/127.0.0.1/${new URL(sluice.url).port}) 2>/dev/null && echo REACHED; true`;
    const reach = (tool: string) => task(tool, tool, `bash -c '${probe.replaceAll("'", `'\\''`)}'`);
    const done = await sluice.finish(specOf(git.remote, [reach('offline'), reach('boxed')]));
    expect(await outputOf(sluice, done.task('boxed').id)).toContain('REACHED');
    expect(await outputOf(sluice, done.task('offline').id)).not.toContain('REACHED');
  });

  test('a crash inside a sandbox is reported as a crash, and a missing program as not started', async () => {
    const done = await sluice.finish(
      specOf(git.remote, [
        task('crashing', 'crashing', ''),
        task('missing', 'missing', ''),
        task('absent', 'absent', ''),
      ]),
    );
    const reasons = ['crashing', 'missing', 'absent'].map((name) => done.task(name).reason);
    expect(reasons).toEqual(['tool_crashed:SIGSEGV', 'tool_not_started:ENOENT', 'tool_not_started:ENOENT']);
  });

  test('a cancel ends every process inside the sandbox', async () => {
    const { id } = await sluice.client.runs.submit(
      specOf(git.remote, [task('hangs', 'boxed', `trap '' TERM; echo ready; setsid sleep 300 & sleep 300`)]),
    );
    const hangs = await eventually('its output', async () => {
      const found = (await sluice.whole(id)).task('hangs');
      return (await outputOf(sluice, found.id)).includes('ready') ? found : undefined;
    });
    await sluice.client.tasks.cancel(hangs.id);
    const marker = `SLUICE_TASK_ID=${hangs.id}`;
    await eventually('nothing of it', async () => (await processesWithVariable(marker)).length === 0);
  });
});

describe('an unavailable sandbox', () => {
  test('a missing or broken bubblewrap is sandbox.unavailable, with its message', async () => {
    await expect(findBubblewrap(home)).rejects.toMatchObject({ code: 'sandbox.unavailable' });
    await writeFile(join(home, 'bwrap'), '#!/bin/sh\necho no namespaces here >&2\nexit 1\n', { mode: 0o755 });
    await expect(findBubblewrap(`${home}:${process.env.PATH}`)).rejects.toMatchObject({
      code: 'sandbox.unavailable',
      message: expect.stringContaining('no namespaces here'),
    });
    await rm(join(home, 'bwrap'));
  });

  test('a task whose sandbox is unavailable FAILS with that code', async () => {
    const bare = await startSluice({
      databaseUrl: sluice.deps.database.url,
      config: { tools: TOOLS },
      environment: { PATH: await pathWithoutBubblewrap() },
      workers: [{ pools: ['bare'] }],
      scheduler: false,
    });
    const { id } = await sluice.client.runs.submit(specOf(git.remote, [task('bare', 'boxed', 'true')]));
    await sluice.deps.database.query(sql`update tasks set pool = 'bare' where run_id = ${id}`);
    await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'FAILED');
    expect((await sluice.whole(id)).task('bare')).toMatchObject({ reason: 'sandbox.unavailable' });
    await bare.stop();
  });
});

describe('a tool that exceeds a limit of its child FAILS', () => {
  test.each([
    ['memory', `node -e 'const all = []; for (;;) all.push(Buffer.alloc(1e6, 1))'`, /^tool_(exit:(?!127)|crashed)/],
    ['a file’s size', 'head -c 3000000 /dev/zero > big.bin || exit 9', /^tool_(exit:9|crashed|exit:15)/],
    ['processes', 'for i in $(seq 40); do sleep 60 & done; wait', /^tool_limit:processes$/],
  ])('%s', async (_what, text, reason) => {
    const done = await sluice.finish(specOf(git.remote, [task('greedy', 'small', text)]));
    expect(done.task('greedy')).toMatchObject({ state: 'FAILED', reason: expect.stringMatching(reason) });
  });
});

/** Makes a folder of links to every program of PATH except `bwrap`. */
async function pathWithoutBubblewrap(): Promise<string> {
  const folder = join(home, 'bin');
  await mkdir(folder, { recursive: true });
  for (const place of process.env.PATH!.split(':')) {
    for (const program of await readdir(place).catch(() => [])) {
      if (program !== 'bwrap') await symlink(join(place, program), join(folder, program)).catch(() => {});
    }
  }
  return folder;
}

test('a worker whose data folder is over its budget takes no work, which explain says, and goes on once there is room', async () => {
  const limit = 64 * 1_048_576;
  const own = await startSluice({ config: { disk: { max_bytes: limit } } });
  const ballast = join(own.settings.dataDir, 'prepared', 'ballast');
  try {
    await mkdir(join(own.settings.dataDir, 'prepared'), { recursive: true });
    await writeFile(ballast, Buffer.alloc(2 * limit, 'x'));
    await eventually('a worker that takes nothing', async () => {
      const { items } = await own.client.workers.list();
      return items.every(({ over_disk_since }) => over_disk_since !== null);
    });
    const spec = specOf(git.remote, [{ name: 'waits', tool: 'command', input: { argv: ['sh', '-c', 'echo w > w'] } }]);
    const { id } = await own.client.runs.submit(spec);
    const waits = await eventually('a task that waits', async () => {
      const said = await own.client.explain(id);
      return said.code === 'disk_budget' && said;
    });
    expect(waits.sentence).toMatch(/data folders of \d+ workers? of the pool default are over/);
    await rm(ballast);
    expect(await own.client.runs.wait(id)).toMatchObject({ state: 'COMPLETED' });
  } finally {
    await own.stop();
  }
});
