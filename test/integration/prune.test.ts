import { expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { sql } from '../../src/database/database.ts';
import { pruneEvents, pruneLogs, pruneRuns, pruneWorkers } from '../../src/ledger/runs/prune.ts';
import { silentLog } from '../../src/lib/log.ts';
import { Prune } from '../../src/pipeline/prune.ts';
import { atTheEnd } from '../support/clean-up.ts';
import { ledgerCase } from '../support/ledger-case.ts';
import { shell, specOf, startSluice } from '../support/run-sluice.ts';

const on = ledgerCase();
const DAY_MS = 86_400_000;
const ago = (days: number): Date => new Date(Date.now() - days * DAY_MS);
const ended = (days: number) => ({ state: 'COMPLETED', created_at: ago(days + 1), completed_at: ago(days) }) as const;

test('runs that ended too long ago are deleted with everything below them; live, recent and landing ones stay', async () => {
  const old = await on.build.run(ended(100));
  const gone = await on.build.task({ run_id: old.run_id, state: 'COMPLETED' });
  await on.build.gate({ task_id: (await on.build.patch({ task_id: gone.task_id, state: 'VERIFIED' })).task_id });
  const recent = await on.build.run(ended(10));
  const live = await on.build.run({ created_at: ago(100) });
  const landing = await on.build.run({ ...ended(100), state: 'FAILED' });
  await on.build.patch({ task_id: (await on.build.task({ run_id: landing.run_id, state: 'VALIDATING' })).task_id });
  const before = await on.db.daos.runs.count();
  expect(await on.write((tx) => pruneRuns(tx, 30))).toEqual({ deleted: 1, more: true });
  expect(await on.write((tx) => pruneRuns(tx, 30))).toEqual({ deleted: 0, more: false });
  expect(await on.db.daos.runs.count()).toBe(before - 1);
  expect(await on.db.daos.runs.find(old.run_id)).toBeUndefined();
  expect(await on.db.daos.tasks.find(gone.task_id)).toBeUndefined();
  for (const { run_id } of [recent, live, landing]) expect(await on.db.daos.runs.find(run_id)).toBeDefined();
});

test('a large run goes a batch of tasks at a time', async () => {
  const { run_id } = await on.build.run(ended(100));
  const { workstream_id } = await on.build.workstream({ run_id, state: 'COMPLETED' });
  await on.db.database.query(sql`
    insert into tasks (task_id, workstream_id, run_id, state)
    select 'task_large' || n, ${workstream_id}, ${run_id}, 'COMPLETED' from generate_series(1, 2500) as n`);
  const left: number[] = [];
  while ((await on.write((tx) => pruneRuns(tx, 30))).more) left.push(await on.db.daos.tasks.count({ run_id }));
  expect(left).toEqual([1_500, 500, 0]);
  expect(await on.db.daos.runs.find(run_id)).toBeUndefined();
});

test('old output, audit rows and ended workers are deleted, newer ones stay', async () => {
  const { task_id, run_id } = await on.build.task();
  const worker = (days: number) => on.build.worker({ state: 'STOPPED', stopped_at: ago(days) });
  const [oldWorker, newWorker] = [await worker(100), await worker(1)];
  for (const days of [40, 20]) {
    await on.db.database.query(sql`
      insert into log_chunks (task_id, attempt, stream, text, created_at) values (${task_id}, 1, 'stdout', ${`${days}`}, ${ago(days)})`);
    await on.db.database.query(sql`
      insert into state_transitions (kind, entity_id, run_id, to_state, actor, created_at)
      values ('task', ${`task_${days}`}, ${run_id}, 'PENDING', 'api', ${ago(days)})`);
  }
  await on.write((tx) => pruneLogs(tx, 30));
  await on.write((tx) => pruneEvents(tx, { days: 30, after: '0' }));
  await on.write((tx) => pruneWorkers(tx, 30));
  const texts = (await on.db.daos.logs.findBy({ task_id })).map(({ text }) => text);
  expect(texts).toEqual(['20']);
  expect(await on.db.daos.transitions.findByEntity('task_40')).toEqual([]);
  expect(await on.db.daos.transitions.findByEntity('task_20')).toHaveLength(1);
  expect(await on.db.daos.workers.find(oldWorker.worker_id)).toBeUndefined();
  expect(await on.db.daos.workers.find(newWorker.worker_id)).toBeDefined();
});

test('null keeps everything', async () => {
  const { run_id } = await on.build.run(ended(10_000));
  const retention = { runs_days: null, logs_days: null, events_days: null };
  await new Prune({ ledger: on.db.ledger, log: silentLog(), retention }).round(new AbortController().signal);
  expect(await on.db.daos.runs.find(run_id)).toBeDefined();
});

test('audit rows are deleted a batch at a time, and those of green executions stay', async () => {
  await on.db.database.query(sql`
    insert into state_transitions (kind, entity_id, to_state, actor, created_at)
    select case when n % 3 = 0 then 'gate' else 'task' end, 'x' || n, case when n % 3 = 0 then 'PASSED' else 'PENDING' end,
           'worker', ${ago(40)} from generate_series(1, 3000) as n`);
  const retention = { runs_days: null, logs_days: null, events_days: 30 };
  await new Prune({ ledger: on.db.ledger, log: silentLog(), retention }).round(new AbortController().signal);
  expect(await on.db.daos.transitions.count()).toBe(1_000);
  expect(await on.db.daos.transitions.count({ to_state: 'PASSED' })).toBe(1_000);
});

test('what landed stays proven after its run is pruned', async () => {
  const git = await GitSandbox.create();
  atTheEnd(() => git.remove());
  const sluice = await startSluice();
  const { run } = await sluice.finish(specOf(git.remote, [shell('t', 'echo a > a.txt')]));
  const { database, ledger, daos } = sluice.deps;
  await database.query(sql`
    update runs set created_at = ${ago(201)}, completed_at = ${ago(200)} where run_id = ${run.id}`);
  await database.query(sql`update state_transitions set created_at = ${ago(200)}`);
  const retention = { runs_days: 90, logs_days: 30, events_days: 180 };
  await new Prune({ ledger, log: silentLog(), retention }).round(new AbortController().signal);
  expect(await daos.runs.find(run.id)).toBeUndefined();
  const audit = await sluice.client.targets.audit(`${git.remote}@main`);
  expect(audit.commits).toMatchObject([{ proven: true, on_branch: true }]);
  await sluice.finish(specOf(git.remote, [shell('next', 'echo b > b.txt')], { name: 'next' }));
  expect(await git.subjects()).toEqual(['change', 'test: t', 'next: next']);
  await sluice.stop();
});
