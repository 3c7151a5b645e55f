import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { signal } from '../../chaos/processes.ts';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { TcpProxy } from '../../harness/tcp-proxy.ts';
import { createDaos, type Daos } from '../../src/dao/all.ts';
import { Database } from '../../src/database/database.ts';
import { EmbeddedPostgres } from '../../src/database/embedded-postgres.ts';
import { sleep } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { processesWithVariable } from '../../src/lib/process-identity.ts';
import { atTheEnd } from '../support/clean-up.ts';
import { SLUICE } from '../support/command-line.ts';
import { cloneTemplate } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { shell, specOf, startSluice } from '../support/run-sluice.ts';
import { makeDataDir, type SluiceProcess, spawnSluice } from '../support/sluice-process.ts';

/** Each story has a repository of its own, because some run side by side. */
async function newRepository(): Promise<GitSandbox> {
  const git = await GitSandbox.create();
  atTheEnd(() => git.remove());
  return git;
}

async function openDaos(url: string): Promise<Daos> {
  const database = new Database({ url });
  await database.start();
  atTheEnd(() => database.stop());
  return createDaos(database);
}

async function completed(sluice: SluiceProcess, runId: string): Promise<void> {
  // While the database is away the API answers with an error.
  const state = () =>
    sluice.client.runs.get(runId).then(
      (run) => run.state,
      () => undefined,
    );
  await eventually('the end', async () => (await state()) === 'COMPLETED');
}

test('P5, P8: the writes of a worker stopped with SIGSTOP past its lease and then continued are refused and counted', async () => {
  const git = await newRepository();
  const databaseUrl = await cloneTemplate();
  const daos = await openDaos(databaseUrl);
  const sluice = await startSluice({ databaseUrl, workers: [] });
  const supervisor = fork(SLUICE, ['worker', '--processes=1', `--data-dir=${await makeDataDir()}`], {
    env: { PATH: process.env.PATH, DATABASE_URL: databaseUrl },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const script = 'if [ "$SLUICE_ATTEMPT" = 1 ]; then sleep 3; fi; echo "$SLUICE_ATTEMPT" > by.txt';
  const { id } = await sluice.client.runs.submit(specOf(git.remote, [shell('stopped', script)]));
  const task = await eventually('a running task', async () => (await daos.tasks.findByState('RUNNING'))[0]);
  const victim = await daos.workers.get(task.worker_id!);
  // The supervisor too, because it would kill the stopped worker.
  const stopped = [supervisor.pid!, victim.pid!];
  for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  atTheEnd(() => {
    for (const pid of stopped) signal(pid, 'SIGCONT');
    supervisor.kill('SIGKILL');
  });
  const other = await startSluice({ databaseUrl, scheduler: false });
  await eventually('its second attempt', async () => (await daos.tasks.get(task.task_id)).attempt === 2);
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
  for (const pid of stopped) process.kill(pid, 'SIGCONT');
  await eventually('a refused write', async () => (await daos.workers.get(victim.worker_id)).refused_writes > 0);
  expect(await daos.workers.get(victim.worker_id)).toMatchObject({ state: 'DEAD' });
  expect(await git.read('by.txt')).toBe('2');
  const endings = (await daos.transitions.findByEntity(task.task_id)).filter(
    ({ to_state }) => to_state === 'COMPLETED',
  );
  expect(endings).toHaveLength(1);
  expect(await daos.tasks.get(task.task_id)).toMatchObject({ attempt: 2, retry_count: 0, interruptions: 1 });
  // The supervisor starts a replacement, so two workers live again.
  await eventually('two living workers', async () => (await daos.workers.consuming()).living === 2);
  const gone = once(supervisor, 'exit');
  supervisor.kill('SIGTERM');
  await gone;
  await other.stop();
  await sluice.stop();
});

test.concurrent.for([
  { kind: 'cut', harm: (proxy: TcpProxy) => proxy.cut() },
  { kind: 'silent', harm: (proxy: TcpProxy) => proxy.freeze({ new: true }) },
])(
  'P8: in a minute without PostgreSQL ($kind) no living worker is reaped, children run on, and their results count',
  async ({ kind, harm }) => {
    const git = await newRepository();
    const databaseUrl = await cloneTemplate();
    const daos = await openDaos(databaseUrl);
    const proxy = await TcpProxy.start(Number(new URL(databaseUrl).port));
    const sluice = await spawnSluice({ databaseUrl: proxy.through(databaseUrl) });
    const writes = (name: string) => shell(name, `sleep 65; echo ${name} > ${kind}-${name}.txt`);
    const { id } = await sluice.client.runs.submit(specOf(git.remote, [writes('a'), writes('b')]));
    await eventually('both running', async () => (await daos.tasks.findByState('RUNNING')).length === 2);
    harm(proxy);
    await sleep(60_000);
    // Control: for that minute no heartbeat came through and no lease was renewed.
    expect(sluice.output()).toContain('heartbeat.unreachable');
    for (const { lease_expires_at } of await daos.tasks.findByState('RUNNING'))
      expect(Date.now() - lease_expires_at!.getTime()).toBeGreaterThan(40_000);
    proxy.restore();
    await completed(sluice, id);
    for (const { attempt, interruptions } of await daos.tasks.findBy({}))
      expect([attempt, interruptions]).toEqual([1, 0]);
    expect(await daos.transitions.count({ to_state: 'DEAD' })).toBe(0);
    await sluice.stop();
    await proxy.stop();
  },
);

test('P8: the embedded PostgreSQL is restarted at its address after a kill, and the same run goes on', async () => {
  const git = await newRepository();
  const dataDir = await makeDataDir();
  const sluice = await spawnSluice({ databaseUrl: '', dataDir });
  const { id } = await sluice.client.runs.submit(
    specOf(git.remote, [
      shell('long', 'sleep 4; echo long > long.txt'),
      shell('next', 'echo next > next.txt', { depends_on: ['long'] }),
    ]),
  );
  await eventually('a running task', async () => (await sluice.client.tasks.list({ state: 'RUNNING' })).items[0]);
  const servers = await processesOf(dataDir);
  expect(servers.length).toBeGreaterThan(0);
  for (const pid of servers) process.kill(pid, 'SIGKILL');
  await eventually('an answer', () => sluice.client.runs.get(id).catch(() => undefined));
  await completed(sluice, id);
  expect((await git.subjects()).slice(-2)).toEqual(['test: long', 'test: next']);
  await sluice.stop();
});

test('P8: a second `up` on one data folder restarts the embedded PostgreSQL when the first ends, and its run completes', async () => {
  const git = await newRepository();
  const dataDir = await makeDataDir();
  const first = await spawnSluice({ databaseUrl: '', dataDir });
  const second = await spawnSluice({ databaseUrl: '', dataDir });
  const run = await second.client.runs.submit(specOf(git.remote, [shell('slow', 'sleep 1; echo x > second-up')]));
  expect(await first.stop()).toBe(0);
  await completed(second, run.id);
  expect(await second.stop()).toBe(0);
});

test('an embedded PostgreSQL that was stopped on purpose is not restarted', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-stop-'));
  const server = new EmbeddedPostgres({
    dataDir,
    log: silentLog(),
    searchPath: process.env.PATH!,
    durable: false,
    onLoopback: true,
  });
  await server.start();
  await server.stop();
  await sleep(1_000);
  expect(await processesOf(dataDir)).toEqual([]);
  await rm(dataDir, { recursive: true, force: true });
});

test('P8: when their parent is killed the workers end, leave no process, and their task is requeued', async () => {
  const git = await newRepository();
  const databaseUrl = await cloneTemplate();
  const daos = await openDaos(databaseUrl);
  const sluice = await spawnSluice({ databaseUrl, args: ['--drain-seconds=1'] });
  await sluice.client.runs.submit(specOf(git.remote, [shell('orphan', 'setsid sleep 300 & sleep 300')]));
  const task = await eventually('a running task', async () => (await daos.tasks.findByState('RUNNING'))[0]);
  await sluice.stop('SIGKILL');
  const marker = `SLUICE_TASK_ID=${task.task_id}`;
  await eventually('nothing of it', async () => (await processesWithVariable(marker)).length === 0);
  await eventually('no worker', async () => {
    const workers = await daos.workers.findBy({});
    return workers.every(({ pid }) => !existsSync(`/proc/${pid}`));
  });
  await eventually('it is queued again', async () => (await daos.tasks.get(task.task_id)).state === 'QUEUED');
  expect(await daos.tasks.get(task.task_id)).toMatchObject({ retry_count: 0, interruptions: 1 });
});

/** Returns the pids of postmasters whose data lies below the folder. */
async function processesOf(dataDir: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const command = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
      return command.includes('postgres\0-D\0') && command.includes(dataDir) ? pid : undefined;
    }),
  );
  return found.filter((pid) => pid !== undefined);
}
