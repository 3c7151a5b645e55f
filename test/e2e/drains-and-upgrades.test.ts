import { type ChildProcess, fork } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { SluiceClient } from '../../src/client/sluice-client.ts';
import { localTokenFile } from '../../src/contract/tokens.ts';
import { createDaos, type Daos } from '../../src/dao/all.ts';
import { Database } from '../../src/database/database.ts';
import { MIGRATIONS } from '../../src/database/migration-list.ts';
import { assertSchemaCurrent, migrateDown, migrateUp } from '../../src/database/migrator.ts';
import { sleep } from '../../src/lib/clock.ts';
import { freePort } from '../../src/lib/free-port.ts';
import { processesWithVariable } from '../../src/lib/process-identity.ts';
import { readSecret } from '../../src/lib/secret-file.ts';
import { atTheEnd } from '../support/clean-up.ts';
import { SLUICE } from '../support/command-line.ts';
import { cloneTemplate } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { shell, specOf, startSluice } from '../support/run-sluice.ts';
import { makeDataDir, spawnSluice } from '../support/sluice-process.ts';

/** Newest migration of the release before this one. */
const PREVIOUS_RELEASE = 'Migration20261126000030_names_of_runs';

let git: GitSandbox;
let databaseUrl: string;
let daos: Daos;
beforeAll(async () => {
  git = await GitSandbox.create();
  databaseUrl = await cloneTemplate();
  const database = new Database({ url: databaseUrl });
  await database.start();
  daos = createDaos(database);
  atTheEnd(() => database.stop());
});
afterAll(() => git.remove());

const living = async () =>
  (await daos.workers.findBy({ state: { $in: ['IDLE', 'BUSY'] } })).map((row) => row.worker_id);

test('P9: a worker that an operator drains finishes its task, claims no more, and is not replaced', async () => {
  const sluice = await spawnSluice({ databaseUrl });
  const before = await eventually('two workers', async () => ((await living()).length === 2 ? living() : undefined));
  const { id } = await sluice.client.runs.submit(specOf(git.remote, [shell('long', 'sleep 3; echo long > long.txt')]));
  const task = await eventually('a running task', async () => (await daos.tasks.findByState('RUNNING'))[0]);
  const drained = await sluice.client.workers.drain(task.worker_id!, { reason: 'a new kernel' });
  expect(drained).toMatchObject({ draining: true });
  await eventually('its end', async () => (await daos.workers.get(task.worker_id!)).state === 'STOPPED');
  expect(await daos.tasks.get(task.task_id)).toMatchObject({ attempt: 1, interruptions: 0 });
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
  expect(await living()).toEqual(before.filter((workerId) => workerId !== task.worker_id));
  // The other worker goes on; unlike a drained worker, a killed one is replaced.
  const { id: next } = await sluice.client.runs.submit(specOf(git.remote, [shell('next', 'echo next > next.txt')]));
  await eventually('the end', async () => (await sluice.client.runs.get(next)).state === 'COMPLETED');
  const [last] = await living();
  process.kill((await daos.workers.get(last!)).pid!, 'SIGKILL');
  await eventually('its successor', async () => {
    const now = await living();
    return now.length === 1 && now[0] !== last;
  });
  expect(await daos.workers.get(last!)).toMatchObject({ state: 'DEAD', reason: 'process_ended' });
  // The supervisor logs the death and how long it waits before the restart.
  expect(sluice.output()).toMatch(/"how":"SIGKILL","delayMs":\d+,"deaths":\d+.*worker\.restarting/);
  expect(await sluice.stop()).toBe(0);
});

test('a second signal ends the daemon at once with exit status 130, and its task is requeued', async () => {
  const sluice = await spawnSluice({ databaseUrl });
  await sluice.client.runs.submit(specOf(git.remote, [shell('hangs', 'sleep 300')]));
  const task = await eventually('a running task', async () => (await daos.tasks.findByState('RUNNING'))[0]);
  sluice.child.kill('SIGTERM');
  await eventually('the drain', async () => sluice.output().includes('daemon.stopping'));
  expect(await sluice.stop('SIGTERM')).toBe(130);
  const marker = `SLUICE_TASK_ID=${task.task_id}`;
  await eventually('nothing of it', async () => (await processesWithVariable(marker)).length === 0);
  const again = await spawnSluice({ databaseUrl });
  await eventually('it is taken back', async () => (await daos.tasks.get(task.task_id)).attempt === 2);
  expect(await daos.tasks.get(task.task_id)).toMatchObject({ retry_count: 0 });
  await again.client.runs.cancel(task.run_id!);
  await again.stop();
});

test('P8, P9: a rolling restart of every process under load loses and repeats no task', async () => {
  const dataDirs = { first: await makeDataDir(), second: await makeDataDir() };
  const port = await freePort();
  const roles = {
    api: () => spawnRole(['api', `--port=${port}`, `--data-dir=${dataDirs.first}`]),
    schedulerA: () => spawnRole(['scheduler', `--data-dir=${dataDirs.first}`]),
    schedulerB: () => spawnRole(['scheduler', `--data-dir=${dataDirs.second}`]),
    workersA: () => spawnRole(['worker', `--data-dir=${dataDirs.first}`, '--processes=1', '--drain-seconds=30']),
    workersB: () => spawnRole(['worker', `--data-dir=${dataDirs.second}`, '--processes=1', '--drain-seconds=30']),
  };
  const running = new Map<keyof typeof roles, ChildProcess>();
  for (const name of Object.keys(roles) as (keyof typeof roles)[]) running.set(name, roles[name]());
  const token = await eventually('a token', () => readSecret(localTokenFile(dataDirs.first)));
  const client = new SluiceClient({ url: `http://127.0.0.1:${port}`, token });
  await eventually('the API', () => client.stats().catch(() => undefined));
  const before = (await git.subjects()).length;
  const load = handIn(client);
  await eventually('the load', async () => (await daos.tasks.findByState('RUNNING')).length > 0);
  for (const name of running.keys()) {
    const old = running.get(name)!;
    const ended = new Promise((resolve) => old.once('exit', resolve));
    old.kill('SIGTERM');
    expect(await ended).toBe(0);
    running.set(name, roles[name]());
    const { handedIn } = load;
    await eventually('more load', async () => load.handedIn > handedIn);
  }
  const runIds = await load.stop();
  for (const id of runIds) {
    await eventually('the end', async () => (await client.runs.get(id)).state === 'COMPLETED');
  }
  const rows = await daos.tasks.findBy({ run_id: { $in: runIds } });
  expect(rows.length).toBeGreaterThan(2 * running.size);
  expect(rows.map(({ attempt, retry_count }) => [attempt, retry_count])).toEqual(rows.map(() => [1, 0]));
  expect((await git.subjects()).length).toBe(before + rows.length);
  for (const child of running.values()) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
});

/** Submits a run of two short tasks every 300 ms until stopped; retries while the API is away. */
function handIn(client: SluiceClient): { readonly handedIn: number; stop: () => Promise<string[]> } {
  const stopped = new AbortController();
  const runIds: string[] = [];
  const all = (async () => {
    for (let n = 0; !stopped.signal.aborted; n += 1) {
      const tasks = ['a', 'b'].map((name) => shell(`${name}${n}`, `sleep 0.4; echo ${n} > roll-${name}${n}.txt`));
      const run = await eventually('an answer', () =>
        client.runs.submit(specOf(git.remote, tasks), { idempotencyKey: `roll-${n}` }).catch(() => undefined),
      );
      runIds.push(run.id);
      await sleep(300, stopped.signal);
    }
    return runIds;
  })();
  return {
    get handedIn() {
      return runIds.length;
    },
    stop: () => {
      stopped.abort();
      return all;
    },
  };
}

function spawnRole(args: string[]): ChildProcess {
  const child = fork(SLUICE, [...args, `--config=${config}`], {
    env: { PATH: process.env.PATH, DATABASE_URL: databaseUrl },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  atTheEnd(() => child.kill('SIGKILL'));
  return child;
}

let config: string;
beforeAll(async () => {
  config = join(await makeDataDir(), 'sluice.config.yaml');
  await writeFile(config, stringify({ allow_any_repository: true, allow_commands: true }));
});

test('P4, P8: a ledger of the previous release with runs in flight is migrated and goes on: nothing is lost or done twice', async () => {
  const url = await cloneTemplate();
  const target = await GitSandbox.create();
  const old = await startSluice({ databaseUrl: url });
  const tasks = [
    shell('landed', 'echo a > landed.txt'),
    // Interrupted by the upgrade, and then runs again.
    shell('running', '[ $SLUICE_ATTEMPT -gt 1 ] || sleep 600; echo b > running.txt'),
    shell('dependant', 'cat running.txt > dependant.txt', { depends_on: ['running'] }),
    shell('red', 'echo c > red.txt; exit 3', { max_retries: 0 }),
  ];
  const { id } = await old.client.runs.submit(specOf(target.remote, tasks));
  await eventually('a landing and a running task', async () => {
    const { tasks: now = [] } = await old.client.runs.get(id, { expand: ['tasks'] });
    const stateOf = (name: string) => now.find((task) => task.name === name)?.state;
    return stateOf('landed') === 'COMPLETED' && stateOf('running') === 'RUNNING' && stateOf('red') === 'FAILED';
  });
  await old.stop();
  const database = new Database({ url });
  await database.start();
  try {
    // The ledger as the previous release left it, with the rows of its runs.
    await migrateDown(database, PREVIOUS_RELEASE);
    await expect(assertSchemaCurrent(database)).rejects.toMatchObject({ code: 'database.behind' });
    await migrateUp(database);
    const updated = await startSluice({ databaseUrl: url });
    const run = await updated.client.runs.wait(id);
    expect(run).toMatchObject({ state: 'FAILED', tasks_ended: 4 });
    const { tasks: ended = [] } = await updated.client.runs.get(id, { expand: ['tasks'] });
    expect(ended.map(({ name, state }) => [name, state])).toEqual([
      ['landed', 'COMPLETED'],
      ['running', 'COMPLETED'],
      ['dependant', 'COMPLETED'],
      ['red', 'FAILED'],
    ]);
    expect((await updated.client.targets.audit(run.target_id)).proven).toBe(true);
    expect(await target.read('dependant.txt')).toBe('b');
    expect((await target.subjects()).filter((subject) => subject.includes('landed'))).toHaveLength(1);
    await updated.stop();
  } finally {
    await database.stop();
    await target.remove();
  }
});

test('migrations since the previous release only add, so that its processes go on while they are replaced', async () => {
  const since = MIGRATIONS.slice(MIGRATIONS.findIndex(({ name }) => name === PREVIOUS_RELEASE) + 1);
  expect(since.length).toBeGreaterThan(0);
  for (const { name } of since) {
    const text = await readFile(new URL(`../../migrations/${name}.ts`, import.meta.url), 'utf8');
    const up = /override up\(\)[\s\S]*?\n {2}\}/.exec(text)![0];
    expect(up, name).not.toMatch(/\b(drop|rename|set not null|alter column|delete from|truncate)\b/i);
    for (const [column] of up.matchAll(/add column [^,`]+/g)) expect(column, name).toMatch(/ null$| default /);
  }
});
