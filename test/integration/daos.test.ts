import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../src/database/database.ts';
import { Builders } from '../support/builders.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

let db: TestDatabase;
let build: Builders;
beforeAll(async () => {
  db = await createTestDatabase();
  build = new Builders(db.daos);
});

describe('every DAO', () => {
  test('creates with defaults, gets, updates, counts, lists and deletes', async () => {
    const { runs } = db.daos;
    const made = await runs.create({ name: 'a', metadata: { team: 'x' } });
    expect(made).toMatchObject({ state: 'INITIALIZING', progress_percentage: 0, metadata: { team: 'x' } });
    expect(made.run_id).toMatch(/^run_/);
    const changed = await runs.update(made.run_id, { name: 'b', progress_percentage: 50 });
    expect(changed).toMatchObject({ name: 'b', progress_percentage: 50 });
    expect(changed.updated_at.getTime()).toBeGreaterThanOrEqual(made.updated_at.getTime());
    expect(await runs.count({ name: 'b' })).toBe(1);
    expect((await runs.listAll(10, 0)).map(({ run_id }) => run_id)).toContain(made.run_id);
    expect(await runs.findBy({ name: 'b' })).toHaveLength(1);
    await runs.delete(made.run_id);
    expect(await runs.find(made.run_id)).toBeUndefined();
  });

  test('unknown ids are coded errors', async () => {
    for (const call of [
      () => db.daos.tasks.get('task_no'),
      () => db.daos.tasks.update('task_no', { name: 'x' }),
      () => db.daos.tasks.delete('task_no'),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'entity.not_found' });
    }
  });

  test('the state column is refused in an update, and so is a column that does not exist', async () => {
    const run = await build.run();
    await expect(db.daos.runs.update(run.run_id, { state: 'COMPLETED' })).rejects.toMatchObject({
      code: 'state.read_only',
    });
    await expect(db.daos.runs.update(run.run_id, { colour: 'red' } as never)).rejects.toMatchObject({
      code: 'entity.invalid',
    });
    expect((await db.daos.runs.get(run.run_id)).state).toBe('RUNNING');
  });

  test('a second row with a unique value is a coded error', async () => {
    const { tool_name } = await build.breaker();
    await expect(build.breaker({ tool_name })).rejects.toMatchObject({ code: 'entity.exists' });
    await expect(db.daos.workstreams.create({ run_id: 'run_no' })).rejects.toMatchObject({ code: 'entity.not_found' });
  });

  test('pages go from new to old and hold every row once', async () => {
    const made = [];
    for (let i = 0; i < 5; i += 1) made.push((await build.run({ target_id: 'paged@main' })).run_id);
    const first = await db.daos.runs.page({ target_id: 'paged@main' }, { limit: 3 });
    const rest = await db.daos.runs.page({ target_id: 'paged@main' }, { limit: 3, cursor: first.at(-1)!.run_id });
    expect([...first, ...rest].map(({ run_id }) => run_id)).toEqual(made.toReversed());
  });
});

describe('finders', () => {
  test('rows are found by their parent', async () => {
    const worker = await build.worker();
    const task = await build.runningTask({ worker_id: worker.worker_id });
    const patch = await build.patch({ task_id: task.task_id });
    const gate = await build.gate({ task_id: task.task_id });
    const { daos } = db;
    expect(await daos.workstreams.findByRun(task.run_id!)).toHaveLength(1);
    expect(await daos.tasks.findByWorkstream(task.workstream_id)).toHaveLength(1);
    expect((await daos.tasks.findByWorker(worker.worker_id)).map(({ task_id }) => task_id)).toEqual([task.task_id]);
    expect((await daos.patches.findByTask(task.task_id)).map(({ patch_id }) => patch_id)).toEqual([patch.patch_id]);
    expect((await daos.gates.findByTask(task.task_id)).map(({ gate_id }) => gate_id)).toEqual([gate.gate_id]);
  });

  test('rows are found by state, and breakers by tool', async () => {
    const breaker = await build.breaker({ state: 'OPEN' });
    expect((await db.daos.breakers.getByTool(breaker.tool_name))?.breaker_id).toBe(breaker.breaker_id);
    expect(await db.daos.breakers.getByTool('no such tool')).toBeUndefined();
    expect((await db.daos.breakers.findByState('OPEN')).map(({ breaker_id }) => breaker_id)).toContain(
      breaker.breaker_id,
    );
    for (const dao of [
      db.daos.runs,
      db.daos.workstreams,
      db.daos.tasks,
      db.daos.workers,
      db.daos.patches,
      db.daos.gates,
    ]) {
      expect(Array.isArray(await dao.findByState('RUNNING' as never))).toBe(true);
    }
  });
});

describe('constraints that the database enforces', () => {
  test.each([
    ['progress over 100', () => build.run({ progress_percentage: 101 })],
    ['progress below 0', () => build.workstream({ progress_percentage: -1 })],
    ['an unknown state', () => build.run({ state: 'DONE' as never })],
    ['more retries than allowed', () => build.task({ retry_count: 4, max_retries: 3 })],
    ['a count below 0', () => build.task({ retry_count: -1 })],
    [
      'a worker on a task that is not RUNNING',
      async () => build.task({ state: 'QUEUED', worker_id: (await build.worker()).worker_id }),
    ],
    ['an unknown patch format', () => build.patch({ patch_format: 'zip' as never })],
    ['a quarantined patch without a reason', () => build.patch({ state: 'QUARANTINED' })],
    ['a blocked patch without a reason', () => build.patch({ state: 'BLOCKED' })],
    ['a timeout of 0', () => build.gate({ timeout_seconds: 0 })],
    ['a passed gate with exit code 1', () => build.gate({ state: 'PASSED', exit_code: 1 })],
    ['a passed gate without an exit code', () => build.gate({ state: 'PASSED' })],
    ['a failed gate without an outcome', () => build.gate({ state: 'FAILED' })],
    ['a threshold of 0', () => build.breaker({ failure_threshold: 0 })],
    ['a cooldown of 0', () => build.breaker({ cooldown_seconds: 0 })],
    ['a failure count below 0', () => build.breaker({ failure_count: -1 })],
  ])('%s is refused', async (_what, make) => {
    await expect(make()).rejects.toMatchObject({ code: 'entity.invalid' });
  });

  test('deleting a run deletes its workstreams, tasks, patches and gates, and keeps the audit', async () => {
    const task = await build.task({ state: 'VALIDATING' });
    const patch = await build.patch({ task_id: task.task_id });
    const gate = await build.gate({ task_id: task.task_id });
    await db.daos.transitions.create({ kind: 'task', entity_id: task.task_id, to_state: 'PENDING', actor: 'test' });
    await db.daos.runs.delete(task.run_id!);
    expect(await db.daos.workstreams.find(task.workstream_id)).toBeUndefined();
    expect(await db.daos.tasks.find(task.task_id)).toBeUndefined();
    expect(await db.daos.patches.find(patch.patch_id)).toBeUndefined();
    expect(await db.daos.gates.find(gate.gate_id)).toBeUndefined();
    expect(await db.daos.transitions.findByEntity(task.task_id)).toHaveLength(1);
  });

  test('deleting a worker leaves its tasks with no worker', async () => {
    const task = await build.runningTask();
    await db.daos.workers.delete(task.worker_id!);
    expect(await db.daos.tasks.get(task.task_id)).toMatchObject({ worker_id: null, state: 'RUNNING' });
  });
});

test('gate values are those of most living workers that run such gates; if none lives, those last reported', async () => {
  const { workers } = db.daos;
  const url = '/srv/valued.git';
  const worker = (value: string | null, more: object = {}) =>
    workers.create({ gate_slots: 1, gate_values: { [url]: value === null ? {} : { X: value } }, ...more });
  for (const value of ['a', 'a', 'b']) await worker(value);
  await worker(null, { gate_slots: 0 });
  await worker('other', { pools: ['gpu'] });
  expect(await workers.gateValues(url, ['default'])).toEqual({ X: 'a' });
  expect(await workers.gateValues(url, ['gpu'])).toEqual({ X: 'other' });
  await db.database.query(sql`update workers set state = 'STOPPED' where gate_values -> ${url}::text ->> 'X' = 'a'`);
  expect(await workers.gateValues(url, ['default'])).toEqual({ X: 'b' });
  await db.database.query(sql`update workers set state = 'STOPPED'`);
  expect(await workers.gateValues(url, ['default'])).toHaveProperty('X');
  expect(await workers.gateValues('/srv/unknown.git', ['default'])).toEqual({});
});

test('the beginning of an id finds it in a database of any collation', async () => {
  const { names, runs } = db.daos;
  const find = async () => {
    const { run_id } = await runs.create({ state: 'COMPLETED', target_id: 'app@main', name: 'run_nightly' });
    expect(await names.find(['run'], run_id.slice(0, 24))).toEqual([run_id]);
    expect(await names.find(['run'], 'run_nightly')).toEqual([run_id]);
    await runs.delete(run_id);
  };
  await find();
  await db.database.query(sql`alter table runs alter column run_id type text collate "en-x-icu"`);
  await find();
});
