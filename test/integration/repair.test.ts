import { expect, test } from 'vitest';
import { sql } from '../../src/database/database.ts';
import { VerdictSeal } from '../../src/domain/verdict-seal.ts';
import { admitTasks } from '../../src/ledger/attempts/admission.ts';
import { endAttempts } from '../../src/ledger/attempts/attempts.ts';
import { declareTools } from '../../src/ledger/attempts/breakers.ts';
import { claimTasks } from '../../src/ledger/attempts/claims.ts';
import {
  forgetDispatches,
  recountRollUps,
  suspectLostDispatches,
  takeBackFromLeftPools,
  unblockOverlooked,
} from '../../src/ledger/fleet/repair.ts';
import { drainWorker, heartbeat, markWorkerDead, noteStall, reapWorkers } from '../../src/ledger/fleet/workers.ts';
import { endGate, failGates } from '../../src/ledger/landing/gates.ts';
import { cancelTask } from '../../src/ledger/runs/cancel.ts';
import { rollUp } from '../../src/ledger/runs/roll-up.ts';
import { silentLog } from '../../src/lib/log.ts';
import { RECONCILE_TIMES, Reconciler } from '../../src/pipeline/reconcile.ts';
import { ledgerCase } from '../support/ledger-case.ts';
import { attemptEnd, claimOf, toolSettings } from '../support/ledger-words.ts';

const on = ledgerCase();
const ago = (seconds: number): Date => new Date(Date.now() - 1_000 * seconds);
const TIMES = { unhealthyAfterMs: 2_000, deadAfterMs: 6_000 };
const repairs = () => on.db.daos.transitions.countRepairs(3_600);
const suspects = () => on.write((tx) => suspectLostDispatches(tx, 5_000));

test('a message that no worker claims while a slot is free is sent again and audited; a claimed one is not', async () => {
  await on.build.worker();
  const lost = await on.build.dispatchedTask({ dispatched_at: ago(60) });
  const gate = await on.build.gate({ dispatch: 1, dispatched_at: ago(60) });
  await on.build.runningTask({ dispatched_at: ago(60), started_at: ago(50) });
  const found = await suspects();
  expect(found.map(({ id }) => id).toSorted()).toEqual([gate.gate_id, lost.task_id].toSorted());
  expect(await on.write((tx) => forgetDispatches(tx, found))).toBe(2);
  expect(await repairs()).toEqual({ dispatch_lost: 2 });
  expect((await on.write(admitTasks))[0]).toMatchObject({ id: lost.task_id, dispatch: 2 });
  // The same finding once more changes nothing, because the task has a newer dispatch.
  expect(
    await on.write((tx) =>
      forgetDispatches(
        tx,
        found.filter(({ kind }) => kind === 'task'),
      ),
    ),
  ).toBe(0);
});

test('a task dispatched to a pool that all workers have left waits in the ledger again and frees its tool’s concurrency', async () => {
  await on.build.worker();
  await on.build.worker({ pools: ['left'], draining: true });
  await on.write((tx) => declareTools(tx, [toolSettings('agent', { concurrency: 1 })]));
  const stranded = await on.build.dispatchedTask({ pool: 'left', tool: 'agent', dispatched_at: ago(8) });
  const other = await on.build.task({ tool: 'agent' });
  expect(await on.write(admitTasks)).toEqual([]);
  expect(await suspects()).toEqual([]);
  expect(await on.write((tx) => takeBackFromLeftPools(tx, 5_000))).toBe(1);
  expect(await repairs()).toEqual({});
  expect((await on.db.daos.tasks.get(stranded.task_id)).dispatched_at).toBeNull();
  expect((await on.write(admitTasks)).map(({ id }) => id)).toEqual([other.task_id]);
});

test('a task that waits for its turn in a busy pool is not taken for lost', async () => {
  await on.build.worker({ task_slots: 2 });
  await on.build.dispatchedTask({ dispatched_at: ago(8) });
  const { worker_id } = await on.build.worker({ task_slots: 0 });
  // A slot is free, but another task began a second ago, so the pool is consuming.
  await on.build.runningTask({ worker_id, dispatched_at: ago(9), started_at: ago(1) });
  expect(await suspects()).toEqual([]);
  // A task dispatched later runs already, so this message was passed over.
  await on.build.runningTask({ worker_id, dispatched_at: ago(2), started_at: ago(1) });
  await on.db.database.query(sql`update workers set task_slots = 4 where task_slots = 2`);
  expect(await suspects()).toHaveLength(1);
});

test('P10: the reconciler repairs nothing on a healthy fleet', async () => {
  const { worker_id } = await on.build.worker();
  const reconciler = new Reconciler({
    ledger: on.db.ledger,
    holder: 'me',
    log: silentLog(),
    times: { ...RECONCILE_TIMES, leaseMs: 0, deepLookEveryMs: 0 },
  });
  for (let i = 0; i < 5; i += 1) await on.build.task();
  for (const { id, dispatch } of await on.write(admitTasks)) {
    await on.write((tx) => heartbeat(tx, { workerId: worker_id, heldIds: [id], leaseMs: 6_000, starving: false }));
    await on.write((tx) => claimTasks(tx, [claimOf(id, worker_id, dispatch)]));
    await reconciler.round();
    await on.write((tx) => endAttempts(tx, [attemptEnd(id)]));
    await on.write(rollUp);
    await reconciler.round();
  }
  expect(await repairs()).toEqual({});
  // Control: it repairs a broken row.
  await on.build.task({ state: 'BLOCKED', open_dependencies: 1 });
  await reconciler.round();
  expect(await repairs()).toEqual({ dependency_overlooked: 1 });
});

test('orphaned tasks, whose worker’s row is deleted or has ended, are requeued', async () => {
  // A crashed worker that is on record suspects nothing of tasks that name no worker.
  await on.build.worker({ state: 'DEAD', stalled_since: ago(60) });
  const [gone, ended, lives] = [
    await on.build.runningTask(),
    await on.build.runningTask(),
    await on.build.runningTask(),
  ];
  await on.db.daos.workers.delete(gone.worker_id!);
  await on.db.database.query(sql`update workers set state = 'DEAD' where worker_id = ${ended.worker_id}`);
  expect(await on.write((tx) => reapWorkers(tx, TIMES))).toMatchObject({ tasks: 2, dead: 0 });
  for (const { task_id } of [gone, ended]) {
    expect(await on.db.daos.tasks.get(task_id)).toMatchObject({ state: 'QUEUED', reason: 'orphaned', retry_count: 0 });
  }
  expect((await on.db.daos.tasks.get(lives.task_id)).state).toBe('RUNNING');
  expect(await repairs()).toEqual({ orphaned: 2 });
});

test('a run whose roll-up counters drifted is counted again and ends', async () => {
  const run = await on.build.run({ tasks_total: 1 });
  const workstream = await on.build.workstream({ run_id: run.run_id });
  await on.build.task({ workstream_id: workstream.workstream_id, state: 'COMPLETED', rolled_up: true });
  for (let i = 0; i < 3; i += 1) await on.write(rollUp);
  expect((await on.db.daos.runs.get(run.run_id)).state).toBe('RUNNING');
  expect(await on.write(recountRollUps)).toBe(1);
  for (let i = 0; i < 3; i += 1) await on.write(rollUp);
  expect((await on.db.daos.runs.get(run.run_id)).state).toBe('COMPLETED');
  await on.db.database.query(sql`update runs set state = 'RUNNING', workstreams_ended = 0`);
  expect(await on.write(recountRollUps)).toBe(1);
  await on.write(rollUp);
  expect((await on.db.daos.runs.get(run.run_id)).state).toBe('COMPLETED');
  expect(await repairs()).toEqual({ roll_up_stuck: 2 });
});

test('a BLOCKED task whose dependencies are all done is queued, whatever its counter says', async () => {
  const done = await on.build.task({ state: 'COMPLETED' });
  const stuck = await on.build.task({ workstream_id: done.workstream_id, state: 'BLOCKED', open_dependencies: 1 });
  const waits = await on.build.task({ workstream_id: done.workstream_id, state: 'BLOCKED', open_dependencies: 1 });
  const other = await on.build.task({ workstream_id: done.workstream_id });
  await on.db.daos.taskDependencies.create({ task_id: stuck.task_id, depends_on_id: done.task_id });
  await on.db.daos.taskDependencies.create({ task_id: waits.task_id, depends_on_id: other.task_id });
  expect(await on.write(unblockOverlooked)).toBe(1);
  expect((await on.db.daos.tasks.get(stuck.task_id)).state).toBe('QUEUED');
  expect((await on.db.daos.tasks.get(waits.task_id)).state).toBe('BLOCKED');
});

test('P5: every write of a worker that was declared DEAD is refused and counted on its row', async () => {
  const task = await on.build.runningTask();
  const workerId = task.worker_id!;
  const gate = await on.build.gate({ state: 'RUNNING', worker_id: workerId, attempt: 1, dispatch: 1 });
  await on.write((tx) => markWorkerDead(tx, { workerId, crashed: false }));
  expect(await on.db.daos.tasks.get(task.task_id)).toMatchObject({ state: 'QUEUED', interruptions: 1, retry_count: 0 });
  expect(await on.db.daos.gates.get(gate.gate_id)).toMatchObject({ state: 'FAILED', outcome: 'lost' });

  expect(await on.db.ledger.endAttempt(attemptEnd(task.task_id, { workerId }))).toBe(false);
  const end = { gateId: gate.gate_id, workerId, attempt: 1, exitCode: 0, outcome: 'passed', results: {} } as const;
  expect(await on.write((tx) => endGate(tx, end, new VerdictSeal(undefined)))).toBe(false);
  const chunk = { gate_id: null, attempt: 1, worker_id: workerId, stream: 'stdout', text: 'late\n' } as const;
  await on.db.ledger.appendLogs([{ ...chunk, task_id: task.task_id }]);
  expect(
    await on.write((tx) => heartbeat(tx, { workerId, heldIds: [], leaseMs: 6_000, starving: false })),
  ).toBeUndefined();

  expect(await on.db.daos.workers.get(workerId)).toMatchObject({ state: 'DEAD', refused_writes: 4 });
  expect(await on.db.daos.logs.readTask(task.task_id, { limit: 10 })).toEqual([]);
  expect(await on.db.daos.workers.countRefusedWrites()).toBe(4);
});

test('P9: a task whose workers hung or crashed three times FAILS; a worker that died for another reason does not count', async () => {
  const task = await on.build.runningTask();
  const { task_id } = task;
  const again = async () => {
    const { worker_id } = await on.build.worker();
    await on.db.database.query(sql`
      update tasks set state = 'RUNNING', worker_id = ${worker_id}, lease_expires_at = now() + interval '1 minute'
      where task_id = ${task_id}`);
    return worker_id;
  };
  await on.write((tx) => markWorkerDead(tx, { workerId: task.worker_id!, crashed: true }));
  await on.write(async (tx) => markWorkerDead(tx, { workerId: await again(), crashed: false }));
  const hung = await again();
  await on.write((tx) => noteStall(tx, hung));
  await on.db.database.query(sql`
    update workers set last_heartbeat = now() - interval '1 minute' where worker_id = ${hung}`);
  await on.db.database.query(sql`update tasks set lease_expires_at = now() - interval '1 second'`);
  await on.write((tx) => reapWorkers(tx, TIMES));
  expect(await on.db.daos.tasks.get(task_id)).toMatchObject({ state: 'QUEUED', interruptions: 3, worker_deaths: 2 });
  // A stall that passed before the worker died does not count.
  const slow = await again();
  await on.write((tx) => noteStall(tx, slow));
  await on.write((tx) => heartbeat(tx, { workerId: slow, heldIds: [task_id], leaseMs: 6_000, starving: false }));
  await on.write((tx) => markWorkerDead(tx, { workerId: slow, crashed: false }));
  expect(await on.db.daos.tasks.get(task_id)).toMatchObject({ state: 'QUEUED', interruptions: 4, worker_deaths: 2 });
  await on.write(async (tx) => markWorkerDead(tx, { workerId: await again(), crashed: true }));
  expect(await on.db.daos.tasks.get(task_id)).toMatchObject({ state: 'FAILED', reason: 'kills_its_worker' });
});

test('the late ending of a cancelled task or a withdrawn gate is refused without being counted', async () => {
  const task = await on.build.runningTask();
  const workerId = task.worker_id!;
  const gate = await on.build.gate({ state: 'RUNNING', worker_id: workerId, attempt: 1, dispatch: 1 });
  await on.write((tx) => cancelTask(tx, task.task_id, { actor: 'ada' }));
  await on.write((tx) => failGates(tx, { gateIds: [gate.gate_id], outcome: 'withdrawn', actor: 'coordinator' }));
  expect(await on.db.ledger.endAttempt(attemptEnd(task.task_id, { workerId }))).toBe(false);
  const end = { gateId: gate.gate_id, workerId, attempt: 1, exitCode: null, outcome: 'lost', results: {} } as const;
  expect(await on.write((tx) => endGate(tx, end, new VerdictSeal(undefined)))).toBe(false);
  expect(await on.db.daos.workers.countRefusedWrites()).toBe(0);
});

test('a worker that an operator drains gets no more tasks; a worker that has ended cannot be drained', async () => {
  const { worker_id: workerId } = await on.build.worker();
  const order = { workerId, actor: 'ada', reason: 'new version' };
  await on.write((tx) => drainWorker(tx, order));
  const beat = await on.write((tx) => heartbeat(tx, { workerId, heldIds: [], leaseMs: 6_000, starving: false }));
  expect(beat).toMatchObject({ draining: true });
  await on.build.task();
  expect(await on.write(admitTasks)).toEqual([]);
  await on.write((tx) => markWorkerDead(tx, { workerId, crashed: false }));
  await expect(on.write((tx) => drainWorker(tx, order))).rejects.toMatchObject({ code: 'state.changed' });
  await expect(on.write((tx) => drainWorker(tx, { ...order, workerId: 'wrk_none' }))).rejects.toMatchObject({
    code: 'entity.not_found',
  });
});
