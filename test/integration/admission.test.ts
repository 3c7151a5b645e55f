import { describe, expect, test } from 'vitest';
import { sql } from '../../src/database/database.ts';
import { admitGates, admitTasks, capacity, type Dispatched, requeueDue } from '../../src/ledger/attempts/admission.ts';
import { endAttempts } from '../../src/ledger/attempts/attempts.ts';
import { declareTools } from '../../src/ledger/attempts/breakers.ts';
import { claimTasks } from '../../src/ledger/attempts/claims.ts';
import { setBudget } from '../../src/ledger/attempts/costs.ts';
import { expireQueued } from '../../src/ledger/fleet/repair.ts';
import { declareRepositories } from '../../src/ledger/landing/targets.ts';
import { cancelSuperseded, cancelTask, pauseRun, resumeRun } from '../../src/ledger/runs/cancel.ts';
import { ledgerCase } from '../support/ledger-case.ts';
import { attemptEnd, claimOf, toolSettings } from '../support/ledger-words.ts';

const on = ledgerCase();
const admit = (): Promise<Dispatched[]> => on.write(admitTasks);
const ids = (admitted: { id: string }[]): string[] => admitted.map(({ id }) => id).toSorted();
const ago = (seconds: number): Date => new Date(Date.now() - 1_000 * seconds);

/** Claims every admitted task and ends it at once. */
async function runAll(admitted: readonly Dispatched[], workerId: string, costUsd: number | null = null): Promise<void> {
  for (const { id, dispatch } of admitted) await on.write((tx) => claimTasks(tx, [claimOf(id, workerId, dispatch)]));
  const attempts = await Promise.all(admitted.map(({ id }) => on.db.daos.tasks.get(id)));
  await on.write((tx) =>
    endAttempts(
      tx,
      attempts.map(({ task_id, attempt, tool }) => attemptEnd(task_id, { attempt, tool, costUsd })),
    ),
  );
}

describe('room and rank', () => {
  test('admission takes as many tasks as the pool has room for, highest priority first, and marks them dispatched', async () => {
    await on.build.worker({ task_slots: 1 });
    const low = await on.build.task({ priority: 0 });
    const high = await on.build.task({ priority: 9 });
    const middle = await on.build.task({ priority: 5 });
    expect(ids(await admit())).toEqual([high.task_id, middle.task_id].toSorted());
    expect(await on.db.daos.tasks.get(high.task_id)).toMatchObject({ dispatch: 1, state: 'QUEUED' });
    expect((await on.db.daos.tasks.get(low.task_id)).dispatched_at).toBeNull();
    expect(await admit()).toEqual([]);
  });

  test('work ahead of the slots is at most six times their number more, and is refilled when a quarter is free', async () => {
    const { worker_id } = await on.build.worker({ task_slots: 1 });
    for (let i = 0; i < 20; i += 1) await on.build.task();
    const admitAhead = () => on.write((tx) => admitTasks(tx, () => 1_000));
    const first = await admitAhead();
    expect(first).toHaveLength(8);
    await runAll(first.slice(0, 1), worker_id);
    expect(await admitAhead()).toEqual([]);
    await runAll(first.slice(1, 2), worker_id);
    expect(await admitAhead()).toHaveLength(2);
  });

  test('a task is not admitted while no worker serves its pool', async () => {
    await on.build.worker({ pools: ['gpu'] });
    await on.build.task();
    expect(await admit()).toEqual([]);
  });

  test('tasks held by a draining or silent worker take no room from the others, and a pool without workers has no room', async () => {
    const gone = await on.build.worker({ task_slots: 2, draining: true });
    const silent = await on.build.worker({ task_slots: 2, state: 'UNHEALTHY' });
    for (const { worker_id } of [gone, silent]) {
      for (let i = 0; i < 2; i += 1) await on.build.runningTask({ worker_id });
    }
    await on.build.worker({ task_slots: 1 });
    await on.build.dispatchedTask({ pool: 'left' });
    for (let i = 0; i < 4; i += 1) await on.build.task();
    expect(await admit()).toHaveLength(2);
    expect(await on.write((tx) => capacity(tx, 'task'))).toEqual([
      { pool: 'default', workers: 1, slots: 1, in_flight: 6, taken: 2, free: 1 },
      { pool: 'left', workers: 0, slots: 0, in_flight: 1, taken: 1, free: 0 },
    ]);
  });

  test('no task starves: a waiting task passes a stream of newer ones once it has waited a minute per level of their priority', async () => {
    const { worker_id } = await on.build.worker({ task_slots: 1 });
    const old = await on.build.task({ priority: 0, ranked_at: ago(5 * 60) });
    const passedBy: string[] = [];
    for (let minute = 0; minute < 20; minute += 1) {
      for (let i = 0; i < 2; i += 1) await on.build.task({ priority: 10 });
      const admitted = await admit();
      await runAll(admitted, worker_id);
      if (admitted.some(({ id }) => id === old.task_id)) break;
      passedBy.push(...ids(admitted));
      await on.db.database.query(
        sql`update tasks set ranked_at = ranked_at - interval '1 minute' where state = 'QUEUED'`,
      );
    }
    expect((await on.db.daos.tasks.get(old.task_id)).state).toBe('COMPLETED');
    expect(passedBy.length).toBeGreaterThan(0);
    expect(passedBy.length).toBeLessThan(20);
  });

  test('control: a task ranked behind tasks with a higher priority is not admitted', async () => {
    await on.build.worker({ task_slots: 1 });
    const old = await on.build.task({ priority: 0, ranked_at: new Date(Date.now() + 3_600_000) });
    for (let i = 0; i < 2; i += 1) await on.build.task({ priority: 10 });
    expect(ids(await admit())).not.toContain(old.task_id);
  });

  test('a retried task keeps the rank of its first wait and gets its whole queue timeout again', async () => {
    const ranked_at = ago(600);
    const task = await on.build.task({ state: 'RETRYING', ranked_at, available_at: ago(1), queue_timeout_seconds: 60 });
    await on.write(requeueDue);
    const queued = await on.db.daos.tasks.get(task.task_id);
    expect(queued).toMatchObject({ state: 'QUEUED', ranked_at });
    expect(queued.queue_expires_at!.getTime() - Date.now()).toBeGreaterThan(50_000);
  });

  test('gates have separate slots, which no number of tasks can take', async () => {
    await on.build.worker({ task_slots: 1, gate_slots: 1 });
    for (let i = 0; i < 4; i += 1) await on.build.task();
    await admit();
    await on.build.gate();
    expect(await on.write(admitGates)).toHaveLength(1);
  });

  test('a task is admitted although the tasks of ten full tools are ranked before it', async () => {
    await on.build.worker({ task_slots: 2 });
    const tools = Array.from({ length: 10 }, (_, n) => `full-${n}`);
    await on.write((tx) =>
      declareTools(
        tx,
        tools.map((tool) => toolSettings(tool, { concurrency: 1 })),
      ),
    );
    for (const tool of tools) {
      await on.build.runningTask({ tool, pool: 'elsewhere' });
      for (let i = 0; i < 3; i += 1) await on.build.task({ tool, priority: 5 });
    }
    const free = await on.build.task();
    expect(ids(await admit())).toEqual([free.task_id]);
  });
});

describe('limits', () => {
  test('a paused run dispatches nothing more and goes on when resumed', async () => {
    await on.build.worker();
    const task = await on.build.task();
    await on.write((tx) => pauseRun(tx, task.run_id!, { actor: 'ada' }));
    expect(await admit()).toEqual([]);
    await on.write((tx) => resumeRun(tx, task.run_id!, { actor: 'ada' }));
    expect(await admit()).toHaveLength(1);
    await expect(on.write((tx) => resumeRun(tx, task.run_id!, { actor: 'ada' }))).rejects.toMatchObject({
      code: 'state.changed',
    });
  });

  test('the concurrency limit of a tool is exact even if many dispatchers admit at once', async () => {
    await on.build.worker({ task_slots: 50 });
    await on.write((tx) => declareTools(tx, [toolSettings('agent', { concurrency: 3 })]));
    for (let i = 0; i < 10; i += 1) await on.build.task({ tool: 'agent' });
    expect((await Promise.all(Array.from({ length: 8 }, admit))).flat()).toHaveLength(3);
  });

  test('no window of a rate limit has more starts than it allows, however late dispatched tasks begin', async () => {
    const { worker_id } = await on.build.worker({ task_slots: 50 });
    await on.write((tx) => declareTools(tx, [toolSettings('agent', { rate_max: 3, rate_per_seconds: 60 })]));
    for (let i = 0; i < 10; i += 1) await on.build.task({ tool: 'agent' });
    const first = await admit();
    expect(first).toHaveLength(3);
    // A task that is dispatched but has not begun counts as a start.
    await on.db.database.query(
      sql`update tasks set dispatched_at = now() - interval '10 minutes' where dispatched_at is not null`,
    );
    expect(await admit()).toEqual([]);
    await runAll(first, worker_id);
    expect(await admit()).toEqual([]);
    await on.db.database.query(
      sql`update tool_starts set started_at = started_at - interval '61 seconds' where task_id = ${first[0]!.id}`,
    );
    expect(await admit()).toHaveLength(1);
  });

  test('a repository’s cap counts the tasks of all its branches and does not affect other repositories', async () => {
    await on.build.worker({ task_slots: 50 });
    await on.write((tx) => declareRepositories(tx, [{ repository: 'app', concurrency: 2 }]));
    await on.db.daos.targets.create({ target_id: 'app@next', repository: 'app', branch: 'next', url: '/nowhere' });
    await on.db.daos.targets.create({ target_id: 'lib@main', repository: 'lib', branch: 'main', url: '/elsewhere' });
    const [main, next, lib] = [
      await on.build.run(),
      await on.build.run({ target_id: 'app@next' }),
      await on.build.run({ target_id: 'lib@main' }),
    ];
    for (const run of [main, next, lib]) for (let i = 0; i < 3; i += 1) await on.build.task({ run_id: run.run_id });
    const admitted = await Promise.all((await admit()).map(({ id }) => on.db.daos.tasks.get(id)));
    expect(admitted.filter(({ run_id }) => run_id === lib.run_id)).toHaveLength(3);
    expect(admitted.filter(({ run_id }) => run_id !== lib.run_id)).toHaveLength(2);
    await on.write((tx) => declareRepositories(tx, []));
    expect(await admit()).toHaveLength(4);
  });

  test('of the runs with one key the oldest dispatches, and the next one after it has ended', async () => {
    await on.build.worker({ task_slots: 50 });
    const key = { concurrency_key: 'nightly', concurrency_max: 1 };
    const older = await on.build.run({ ...key, created_at: ago(10) });
    const newer = await on.build.run({ ...key, created_at: ago(5) });
    const [first, second] = [
      await on.build.task({ run_id: older.run_id }),
      await on.build.task({ run_id: newer.run_id }),
    ];
    expect(ids(await admit())).toEqual([first.task_id]);
    await on.db.database.query(sql`update runs set state = 'COMPLETED' where run_id = ${older.run_id}`);
    expect(ids(await admit())).toEqual([second.task_id]);
  });

  test('a superseding run cancels the older runs of its key and no others', async () => {
    const key = { concurrency_key: 'nightly', concurrency_max: 1 };
    const older = await on.build.run({ ...key, created_at: ago(10) });
    const stranger = await on.build.run({ concurrency_key: 'weekly', concurrency_max: 1, created_at: ago(10) });
    const running = await on.build.runningTask({ run_id: older.run_id });
    const newer = await on.build.run({ ...key, supersede: true, state: 'INITIALIZING' });
    await on.write((tx) => cancelSuperseded(tx, newer.run_id));
    expect(on.db.wakeUps).toContain(`cancel:${running.task_id}`);
    expect(await on.db.daos.runs.get(older.run_id)).toMatchObject({ state: 'FAILED', outcome: 'cancelled' });
    expect((await on.db.daos.runs.get(stranger.run_id)).state).toBe('RUNNING');
    const [last] = (await on.db.daos.transitions.findByEntity(older.run_id)).slice(-1);
    expect(last).toMatchObject({ detail: { reason: `superseded by ${newer.run_id}` } });
  });
});

describe('budgets', () => {
  test('tasks are not admitted once the budget of the task, run or tool’s day is spent, until it is raised or the day turns', async () => {
    const { worker_id } = await on.build.worker({ task_slots: 50 });
    await on.write((tx) => declareTools(tx, [toolSettings('agent', { usd_per_day: 3 })]));
    const run = await on.build.run({ budget_usd: 1.5 });
    const [one] = [await on.build.task({ run_id: run.run_id, tool: 'agent', budget_usd: 1 })];
    await runAll(await admit(), worker_id, 2);
    expect(await on.db.daos.tasks.get(one.task_id)).toMatchObject({ cost_usd: 2 });
    expect(await on.db.daos.runs.get(run.run_id)).toMatchObject({ cost_usd: 2, state: 'RUNNING' });

    const two = await on.build.task({ run_id: run.run_id, tool: 'agent' });
    expect(await admit()).toEqual([]);
    await on.write((tx) => setBudget(tx, 'run', { id: run.run_id, usd: 10, actor: 'ada', reason: 'worth it' }));
    const again = await admit();
    expect(ids(again)).toEqual([two.task_id]);
    await runAll(again, worker_id, 1.25);

    // The tool's daily budget is spent, although the run has budget left.
    const three = await on.build.task({ run_id: run.run_id, tool: 'agent' });
    expect(await admit()).toEqual([]);
    await on.db.database.query(sql`update tool_costs set day = day - 1`);
    expect(ids(await admit())).toEqual([three.task_id]);

    const poor = await on.build.task({ budget_usd: 1, cost_usd: 1 });
    expect(await admit()).toEqual([]);
    await on.write((tx) => setBudget(tx, 'task', { id: poor.task_id, usd: 2, actor: 'ada', reason: 'once more' }));
    expect(ids(await admit())).toEqual([poor.task_id]);
  });

  test('a task dispatched before a budget was spent is requeued at its claim', async () => {
    const { worker_id } = await on.build.worker({ task_slots: 50 });
    await on.write((tx) => declareTools(tx, [toolSettings('agent', { usd_per_day: 5 })]));
    const run = await on.build.run({ budget_usd: 1 });
    await on.build.task({ run_id: run.run_id });
    await on.build.task({ budget_usd: 1 });
    await on.build.task({ tool: 'agent' });
    const admitted = await admit();
    expect(admitted).toHaveLength(3);
    await on.db.database.query(sql`update runs set cost_usd = 2 where run_id = ${run.run_id}`);
    await on.db.database.query(sql`update tasks set cost_usd = 2 where budget_usd is not null`);
    await on.db.database.query(
      sql`insert into tool_costs (tool_name, day, usd) values ('agent', (now() at time zone 'UTC')::date, 5)`,
    );
    for (const { id, dispatch } of admitted) {
      expect(await on.write((tx) => claimTasks(tx, [claimOf(id, worker_id, dispatch)]))).toEqual([undefined]);
      expect(await on.db.daos.tasks.get(id)).toMatchObject({ state: 'QUEUED', dispatched_at: null, attempt: 0 });
    }
  });

  test('the audit records once that a run has spent its budget', async () => {
    const { worker_id } = await on.build.worker({ task_slots: 50 });
    const run = await on.build.run({ budget_usd: 1 });
    for (let i = 0; i < 2; i += 1) await on.build.task({ run_id: run.run_id });
    for (const dispatched of await admit()) await runAll([dispatched], worker_id, 1);
    const notes = await on.db.daos.transitions.findByEntity(run.run_id);
    expect(notes.filter(({ reason }) => reason === 'budget_spent')).toMatchObject([{ detail: { cost_usd: 1 } }]);
  });
});

test('the cost of an attempt counts once, even if its task was cancelled before the report', async () => {
  const task = await on.build.runningTask({ tool: 'agent' });
  await on.write((tx) => cancelTask(tx, task.task_id, { actor: 'ada' }));
  const end = attemptEnd(task.task_id, { tool: 'agent', costUsd: 50 });
  for (let i = 0; i < 2; i += 1) await on.write((tx) => endAttempts(tx, [end]));
  await on.write((tx) => endAttempts(tx, [{ ...end, attempt: 2, costUsd: 7 }]));
  expect(await on.db.daos.tasks.get(task.task_id)).toMatchObject({ state: 'CANCELLED', cost_usd: 50 });
  expect((await on.db.daos.runs.get(task.run_id!)).cost_usd).toBe(50);
});

describe('queue timeouts', () => {
  test('a task that waits longer than its queue timeout FAILS and its dependants are cancelled; in a paused run no timeout runs out', async () => {
    const late = await on.build.task({ queue_timeout_seconds: 60, queue_expires_at: ago(1) });
    const child = await on.build.task({ workstream_id: late.workstream_id, state: 'BLOCKED', open_dependencies: 1 });
    await on.db.daos.taskDependencies.create({ task_id: child.task_id, depends_on_id: late.task_id });
    const paused = await on.build.task({ queue_timeout_seconds: 60, queue_expires_at: ago(1) });
    await on.write((tx) => pauseRun(tx, paused.run_id!, { actor: 'ada' }));
    expect(await on.write(expireQueued)).toBe(1);
    expect(await on.db.daos.tasks.get(late.task_id)).toMatchObject({ state: 'FAILED', reason: 'queue_timeout' });
    expect(await on.db.daos.tasks.get(child.task_id)).toMatchObject({
      state: 'CANCELLED',
      reason: 'dependency_failed',
    });
    await on.write((tx) => resumeRun(tx, paused.run_id!, { actor: 'ada' }));
    expect(await on.write(expireQueued)).toBe(0);
  });
});
