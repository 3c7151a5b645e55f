import { afterAll, beforeAll, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { createDaos, type Daos } from '../../src/dao/all.ts';
import { Database } from '../../src/database/database.ts';
import { identityOf, processesWithVariable } from '../../src/lib/process-identity.ts';
import { cloneTemplate } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { shell, specOf } from '../support/run-sluice.ts';
import { type SluiceProcess, spawnSluice } from '../support/sluice-process.ts';

const isWorking = ({ state }: { state: string }) => state === 'IDLE' || state === 'BUSY';

async function isAlive(pid: number): Promise<boolean> {
  return (await identityOf(pid)).startTicks !== null;
}

/** A stop waits this long for running tasks, then requeues them. */
const DRAIN = ['--drain-seconds=1'];

let git: GitSandbox;
let databaseUrl: string;
let database: Database;
let daos: Daos;
let sluice: SluiceProcess;

beforeAll(async () => {
  git = await GitSandbox.create();
  databaseUrl = await cloneTemplate();
  database = new Database({ url: databaseUrl });
  await database.start();
  daos = createDaos(database);
  sluice = await spawnSluice({ databaseUrl, args: DRAIN });
});
afterAll(async () => {
  await sluice.stop();
  await database.stop();
  await git.remove();
});

test('P8, P9: the task of a worker killed with SIGKILL runs again elsewhere, leaves no process and uses up no retry', async () => {
  // The first attempt hangs and has a grandchild outside its group; a later one ends at once.
  const script = `
    if [ "$SLUICE_ATTEMPT" = 1 ]; then setsid sleep 3000 & sleep 3000; fi
    echo "$SLUICE_ATTEMPT" > survived.txt`;
  const { id } = await sluice.client.runs.submit(specOf(git.remote, [shell('hangs', script)]));
  const task = await eventually('a running task', async () => (await daos.tasks.findByState('RUNNING'))[0]);
  const victim = await daos.workers.get(task.worker_id!);
  const marker = `SLUICE_TASK_ID=${task.task_id}`;
  await eventually('the grandchild', async () => (await processesWithVariable(marker)).length >= 3);
  process.kill(victim.pid!, 'SIGKILL');

  await eventually('orphans gone', async () => (await processesWithVariable(marker)).length === 0);
  await eventually('the task elsewhere', async () => (await daos.tasks.get(task.task_id)).attempt === 2);
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');

  expect(await git.read('survived.txt')).toBe('2');
  expect(await daos.tasks.get(task.task_id)).toMatchObject({ retry_count: 0, interruptions: 1, attempt: 2 });
  await eventually('the death on record', async () => (await daos.workers.get(victim.worker_id)).state === 'DEAD');
  expect(await git.subjects()).toHaveLength(2);
});

test('P9: the supervisor kills a worker whose process is stopped, and starts another in its place', async () => {
  const script = '[ "$SLUICE_ATTEMPT" = 1 ] && sleep 3000; echo moved > moved.txt';
  const { id } = await sluice.client.runs.submit(specOf(git.remote, [shell('frozen', script)]));
  const task = await eventually('a running task', async () => (await daos.tasks.findByState('RUNNING'))[0]);
  const victim = await daos.workers.get(task.worker_id!);
  process.kill(victim.pid!, 'SIGSTOP');
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
  await eventually('its end', async () => !(await isAlive(victim.pid!)));
  await eventually(
    'a full house',
    async () => (await sluice.client.workers.list()).items.filter(isWorking).length === 2,
  );
});

test('P8: a daemon killed with SIGKILL continues the same run after a restart', async () => {
  const { id } = await sluice.client.runs.submit(
    specOf(git.remote, [
      shell('before', 'sleep 2; echo 1 > before.txt'),
      shell('after', 'echo 2 > after.txt', { depends_on: ['before'] }),
    ]),
  );
  await eventually('a running task', async () => (await daos.tasks.findByState('RUNNING'))[0]);
  await sluice.stop('SIGKILL');
  sluice = await spawnSluice({ databaseUrl, dataDir: sluice.dataDir, args: DRAIN });
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
  expect((await git.subjects()).slice(-2)).toEqual(['test: before', 'test: after']);
});

test('P9: on SIGTERM the daemon requeues a task that cannot end in time, and exits with 0', async () => {
  const drained = await sluice.client.runs.submit(
    specOf(git.remote, [shell('drained', 'if [ "$SLUICE_ATTEMPT" = 1 ]; then sleep 3000; fi; echo 4 > drained.txt')]),
  );
  await eventually('a running task', async () => (await daos.tasks.findByState('RUNNING'))[0]);
  expect(await sluice.stop('SIGTERM')).toBe(0);
  const [task] = await daos.tasks.findByRun(drained.id);
  expect(task).toMatchObject({ state: 'QUEUED', retry_count: 0, interruptions: 1, worker_id: null });
  expect(await processesWithVariable(`SLUICE_TASK_ID=${task!.task_id}`)).toEqual([]);
  expect((await daos.workers.findBy({ state: { $in: ['IDLE', 'BUSY'] } })).length).toBe(0);

  sluice = await spawnSluice({ databaseUrl, dataDir: sluice.dataDir, args: DRAIN });
  await eventually('the end', async () => (await sluice.client.runs.get(drained.id)).state === 'COMPLETED');
});
