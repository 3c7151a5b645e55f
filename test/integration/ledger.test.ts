import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { gateSchema } from '../../src/contract/policy.ts';
import { sql } from '../../src/database/database.ts';
import { admitGates, admitTasks, forgetLostDispatches, requeueDue } from '../../src/ledger/admission.ts';
import { type AttemptEnd, endAttempts, type NewPatch } from '../../src/ledger/attempts.ts';
import { declareBreakers, recordFact } from '../../src/ledger/breakers.ts';
import { cancelRun, cancelTask, pauseRun, resumeRun } from '../../src/ledger/cancel.ts';
import { claimGate, claimTasks } from '../../src/ledger/claims.ts';
import { endGate, requestGate } from '../../src/ledger/gates.ts';
import { openIntent, settleApplied, settleCleared, verifyPatches } from '../../src/ledger/landing.ts';
import { acquireLease, assertLease, type HeldLease } from '../../src/ledger/leases.ts';
import { rollUp } from '../../src/ledger/roll-up.ts';
import { startRun } from '../../src/ledger/start-run.ts';
import { stopPatch } from '../../src/ledger/stop-patches.ts';
import { toRows, transition } from '../../src/ledger/transition.ts';
import { heartbeat, reapWorkers } from '../../src/ledger/workers.ts';
import { newId } from '../../src/lib/id.ts';
import { Builders } from '../support/builders.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

let db: TestDatabase;
let build: Builders;
beforeAll(async () => {
  db = await createTestDatabase();
  build = new Builders(db.daos);
});
beforeEach(async () => {
  await db.database.query(sql`delete from runs`);
  await db.database.query(sql`delete from workers`);
  await db.database.query(sql`delete from circuit_breakers`);
  await db.database.query(sql`delete from landing_intents`);
  await db.database.query(sql`delete from gate_verdicts`);
});
const write: TestDatabase['ledger']['write'] = (work) => db.ledger.write(work);
const taskState = async (id: string) => (await db.daos.tasks.get(id)).state;
const claim = (id: string, workerId: string, dispatch = 1) => ({ id, dispatch, workerId, leaseMs: 6_000 });
const unchanged = (taskId: string, attempt: number): AttemptEnd => ({
  taskId,
  attempt,
  tool: 'command',
  exitCode: 0,
  baseCommit: null,
  fact: null,
  ending: { kind: 'unchanged' },
});
const newPatch = (refusal: NewPatch['refusal'] = null): NewPatch => ({
  patch_format: 'git_patch',
  content: null,
  diff: Buffer.from('diff\0with NUL'),
  file_path: 'a',
  paths: ['a'],
  size_bytes: 13,
  binary: false,
  base_commit: 'b'.repeat(40),
  commit_id: 'c'.repeat(40),
  tree_id: 'd'.repeat(40),
  message: 'm',
  author_name: 'A',
  author_email: 'a@b',
  authored_at: new Date().toISOString(),
  refusal,
});

describe('P2: a transition', () => {
  test('moves by compare-and-set and leaves an audit row in the same transaction', async () => {
    const { run_id } = await build.run();
    const move = {
      kind: 'run',
      from: ['RUNNING'],
      to: 'PAUSED',
      rows: toRows([run_id], 'lunch'),
      actor: 'ada',
    } as const;
    expect(await write((tx) => transition(tx, move))).toMatchObject([{ id: run_id, from_state: 'RUNNING' }]);
    // Losing the race is a normal answer.
    expect(await write((tx) => transition(tx, move))).toEqual([]);
    const audit = await db.daos.transitions.findByEntity(run_id);
    expect(audit).toMatchObject([
      { from_state: 'RUNNING', to_state: 'PAUSED', reason: 'lunch', actor: 'ada', forced: false },
    ]);
  });

  test('rolled back, it leaves neither the state nor the audit row', async () => {
    const { run_id } = await build.run();
    const failing = write(async (tx) => {
      await transition(tx, { kind: 'run', from: ['RUNNING'], to: 'PAUSED', rows: toRows([run_id]), actor: 'x' });
      throw new Error('later');
    });
    await expect(failing).rejects.toThrow('later');
    expect((await db.daos.runs.get(run_id)).state).toBe('RUNNING');
    expect(await db.daos.transitions.findByEntity(run_id)).toEqual([]);
  });

  test('refuses an edge that the lifecycle does not have, naming both states', async () => {
    const move = { kind: 'patch', from: ['PENDING'], to: 'VERIFIED', rows: toRows(['x']), actor: 'x' } as const;
    await expect(write((tx) => transition(tx, move))).rejects.toMatchObject({
      code: 'state.illegal_edge',
      facts: { from: 'PENDING', to: 'VERIFIED' },
    });
  });

  test('of twenty that race for one row, exactly one wins', async () => {
    const { run_id } = await build.run();
    const racers = Array.from({ length: 20 }, () =>
      write((tx) =>
        transition(tx, { kind: 'run', from: ['RUNNING'], to: 'FAILED', rows: toRows([run_id]), actor: 'x' }),
      ),
    );
    expect((await Promise.all(racers)).flat()).toHaveLength(1);
    expect(await db.daos.transitions.findByEntity(run_id)).toHaveLength(1);
  });

  test('two batches over the same rows in opposite order do not deadlock for good', async () => {
    const ids = (await Promise.all(Array.from({ length: 10 }, () => build.run()))).map(({ run_id }) => run_id);
    const move = (rows: string[]) =>
      write((tx) => transition(tx, { kind: 'run', from: ['RUNNING'], to: 'FAILED', rows: toRows(rows), actor: 'x' }));
    const [one, two] = await Promise.all([move(ids), move(ids.toReversed())]);
    expect(one.length + two.length).toBe(10);
  });

  test('reasons with NUL and lone surrogates are stored', async () => {
    const { run_id } = await build.run();
    const rows = [{ id: run_id, reason: 'a\0b\ud800', detail: { text: '\0' } }];
    await write((tx) => transition(tx, { kind: 'run', from: ['RUNNING'], to: 'FAILED', rows, actor: 'x' }));
    expect((await db.daos.runs.get(run_id)).reason).toBe('ab\ufffd');
  });
});

describe('P5: the fence', () => {
  test('a claim raises the attempt; the same message claims nothing twice', async () => {
    const task = await build.dispatchedTask();
    const { worker_id } = await build.worker();
    const [claimed] = await write((tx) => claimTasks(tx, [claim(task.task_id, worker_id)]));
    expect(claimed).toMatchObject({ task_id: task.task_id, attempt: 1 });
    expect(await write((tx) => claimTasks(tx, [claim(task.task_id, worker_id)]))).toEqual([undefined]);
    expect(await db.daos.tasks.get(task.task_id)).toMatchObject({ state: 'RUNNING', worker_id, attempt: 1 });
  });

  test('an old message of a task that was dispatched again claims nothing', async () => {
    const task = await build.dispatchedTask({ dispatch: 2 });
    const { worker_id } = await build.worker();
    expect(await write((tx) => claimTasks(tx, [claim(task.task_id, worker_id, 1)]))).toEqual([undefined]);
    expect(await taskState(task.task_id)).toBe('QUEUED');
  });

  test('the ending of a stale attempt is refused whole; the one of the newest is taken once', async () => {
    const task = await build.runningTask({ attempt: 2 });
    expect(await write((tx) => endAttempts(tx, [unchanged(task.task_id, 1)]))).toEqual([false]);
    expect(await taskState(task.task_id)).toBe('RUNNING');
    expect(await write((tx) => endAttempts(tx, [unchanged(task.task_id, 2)]))).toEqual([true]);
    expect(await write((tx) => endAttempts(tx, [unchanged(task.task_id, 2)]))).toEqual([false]);
    expect(await taskState(task.task_id)).toBe('COMPLETED');
  });

  test('control: without its fence the same write would go through', async () => {
    const task = await build.runningTask({ attempt: 2 });
    const move = {
      kind: 'task',
      from: ['RUNNING'],
      to: 'VALIDATING',
      rows: toRows([task.task_id]),
      actor: 'x',
    } as const;
    expect(await write((tx) => transition(tx, move))).toHaveLength(1);
  });

  test('a dead worker claims nothing', async () => {
    const task = await build.dispatchedTask();
    const { worker_id } = await build.worker({ state: 'DEAD' });
    expect(await write((tx) => claimTasks(tx, [claim(task.task_id, worker_id)]))).toEqual([undefined]);
  });

  test('group commit: a hundred claims of one moment each get their own answer', async () => {
    const { worker_id } = await build.worker();
    const run = await build.run();
    const { workstream_id } = await build.workstream({ run_id: run.run_id });
    const tasks = [];
    for (let i = 0; i < 100; i += 1) tasks.push(await build.dispatchedTask({ workstream_id, dispatch: i % 2 }));
    const answers = await Promise.all(tasks.map(({ task_id }) => db.ledger.claimTask(claim(task_id, worker_id))));
    expect(answers.map((answer) => answer !== undefined)).toEqual(tasks.map((_, i) => i % 2 === 1));
    const ends = await Promise.all(tasks.map(({ task_id }) => db.ledger.endAttempt(unchanged(task_id, 1))));
    expect(ends.filter(Boolean)).toHaveLength(50);
  });
});

describe('how an attempt ends', () => {
  const end = (taskId: string, ending: AttemptEnd['ending']): AttemptEnd => ({ ...unchanged(taskId, 1), ending });
  const failure = (kind: 'retryable' | 'fatal' | 'interrupted') =>
    ({ kind: 'failed', failure: kind, reason: 'why', evidence: { text: 'x' } }) as const;

  test('with a patch: STAGED, its bytes as they were, the task VALIDATING', async () => {
    const { task_id } = await build.runningTask();
    const patch = newPatch();
    await write((tx) => endAttempts(tx, [end(task_id, { kind: 'patch', patch, mayRetry: true })]));
    expect(await taskState(task_id)).toBe('VALIDATING');
    const stored = (await db.daos.patches.findByTask(task_id))[0]!;
    expect(stored.state).toBe('STAGED');
    expect(Buffer.from(stored.diff!).equals(patch.diff!)).toBe(true);
    const audit = await db.daos.transitions.findByEntity(stored.patch_id);
    expect(audit.map(({ to_state }) => to_state)).toEqual(['PENDING', 'VALIDATING', 'STAGED']);
  });

  test('a ready-made patch keeps the id under which it was recorded', async () => {
    const { task_id } = await build.runningTask({ tool: 'patch' });
    const recorded = await build.patch({ task_id, state: 'PENDING', staged_at: null });
    await write((tx) => endAttempts(tx, [end(task_id, { kind: 'patch', patch: newPatch(), mayRetry: false })]));
    expect((await db.daos.patches.findByTask(task_id)).map(({ patch_id, state }) => [patch_id, state])).toEqual([
      [recorded.patch_id, 'STAGED'],
    ]);
  });

  test('a patch on record whose task never made anything of it is EXPIRED', async () => {
    const { task_id } = await build.task({ state: 'CANCELLED', reason: 'dependency_failed' });
    const { patch_id } = await build.patch({ task_id, state: 'PENDING' });
    await write(rollUp);
    expect(await db.daos.patches.get(patch_id)).toMatchObject({ state: 'EXPIRED', reason: 'dependency_failed' });
  });

  test('quarantined: a tool tries again with the evidence, a ready-made patch fails at once', async () => {
    const refusal = { reason: 'out_of_scope', evidence: { paths: ['x'] } };
    const tool = await build.runningTask();
    const ready = await build.runningTask();
    await write((tx) =>
      endAttempts(tx, [
        end(tool.task_id, { kind: 'patch', patch: newPatch(refusal), mayRetry: true }),
        end(ready.task_id, { kind: 'patch', patch: newPatch(refusal), mayRetry: false }),
      ]),
    );
    expect(await db.daos.tasks.get(tool.task_id)).toMatchObject({
      state: 'RETRYING',
      retry_count: 1,
      evidence: { reason: 'out_of_scope' },
    });
    expect(await taskState(ready.task_id)).toBe('FAILED');
  });

  test('a retryable failure uses a retry, a fatal one none, an interruption neither', async () => {
    const [a, b, c] = [await build.runningTask(), await build.runningTask(), await build.runningTask()];
    await write((tx) =>
      endAttempts(tx, [
        end(a.task_id, failure('retryable')),
        end(b.task_id, failure('fatal')),
        end(c.task_id, failure('interrupted')),
      ]),
    );
    expect(await db.daos.tasks.get(a.task_id)).toMatchObject({ state: 'RETRYING', retry_count: 1, worker_id: null });
    expect(await db.daos.tasks.get(b.task_id)).toMatchObject({ state: 'FAILED', retry_count: 0, outcome: 'failed' });
    expect(await db.daos.tasks.get(c.task_id)).toMatchObject({ state: 'QUEUED', retry_count: 0, interruptions: 1 });
    await db.database.query(sql`update tasks set available_at = now() - interval '1 s' where task_id = ${a.task_id}`);
    await write(requeueDue);
    expect(await taskState(a.task_id)).toBe('QUEUED');
  });

  test('dependants go on when the last dependency completes, each edge counted once', async () => {
    const { workstream_id } = await build.workstream();
    const [a, b] = [await build.runningTask({ workstream_id }), await build.runningTask({ workstream_id })];
    const child = await build.task({ workstream_id, state: 'BLOCKED', open_dependencies: 2 });
    for (const on of [a, b])
      await db.daos.taskDependencies.create({ task_id: child.task_id, depends_on_id: on.task_id });
    await write((tx) => endAttempts(tx, [unchanged(a.task_id, 1)]));
    expect(await db.daos.tasks.get(child.task_id)).toMatchObject({ state: 'BLOCKED', open_dependencies: 1 });
    await write((tx) => endAttempts(tx, [unchanged(b.task_id, 1)]));
    expect(await db.daos.tasks.get(child.task_id)).toMatchObject({ state: 'QUEUED', open_dependencies: 0 });
  });
});

describe('admission', () => {
  const ids = (admitted: { id: string }[]) => admitted.map(({ id }) => id).toSorted();

  test('takes as much as the pool has room for, highest priority first, and marks it', async () => {
    await build.worker({ task_slots: 1 });
    const low = await build.task({ priority: 0 });
    const high = await build.task({ priority: 9 });
    const middle = await build.task({ priority: 5 });
    const admitted = await write((tx) => admitTasks(tx, []));
    expect(ids(admitted)).toEqual([high.task_id, middle.task_id].toSorted());
    expect(await db.daos.tasks.get(high.task_id)).toMatchObject({ dispatch: 1, state: 'QUEUED' });
    expect((await db.daos.tasks.get(low.task_id)).dispatched_at).toBeNull();
    expect(await write((tx) => admitTasks(tx, []))).toEqual([]);
  });

  test('nobody serves the pool: nothing is taken', async () => {
    await build.worker({ pools: ['gpu'] });
    await build.task();
    expect(await write((tx) => admitTasks(tx, []))).toEqual([]);
  });

  test('a paused run dispatches nothing more and goes on when resumed', async () => {
    await build.worker();
    const task = await build.task();
    await write((tx) => pauseRun(tx, task.run_id!, { actor: 'ada' }));
    expect(await write((tx) => admitTasks(tx, []))).toEqual([]);
    await write((tx) => resumeRun(tx, task.run_id!, { actor: 'ada' }));
    expect(await write((tx) => admitTasks(tx, []))).toHaveLength(1);
    await expect(write((tx) => resumeRun(tx, task.run_id!, { actor: 'ada' }))).rejects.toMatchObject({
      code: 'state.changed',
    });
  });

  test('the concurrency of a tool is exact, also when two dispatchers decide at once', async () => {
    await build.worker({ task_slots: 50 });
    await write((tx) => declareBreakers(tx, [{ tool: 'agent', failureThreshold: 3, cooldownSeconds: 60 }]));
    for (let i = 0; i < 10; i += 1) await build.task({ tool: 'agent' });
    const limit = [{ tool: 'agent', concurrency: 3 }];
    const both = await Promise.all([write((tx) => admitTasks(tx, limit)), write((tx) => admitTasks(tx, limit))]);
    expect(both.flat()).toHaveLength(3);
  });

  test('a lost message is marked again once a slot is free; a claimed one is not', async () => {
    await build.worker();
    const long = new Date(Date.now() - 60_000);
    const lost = await build.dispatchedTask({ dispatched_at: long });
    const claimed = await build.runningTask({ dispatched_at: long });
    expect(await write((tx) => forgetLostDispatches(tx, 5_000))).toBe(1);
    expect((await db.daos.tasks.get(lost.task_id)).dispatched_at).toBeNull();
    expect((await db.daos.tasks.get(claimed.task_id)).dispatched_at).not.toBeNull();
    expect((await write((tx) => admitTasks(tx, [])))[0]).toMatchObject({ id: lost.task_id, dispatch: 2 });
  });

  test('gates have slots of their own', async () => {
    await build.worker({ task_slots: 1, gate_slots: 1 });
    for (let i = 0; i < 4; i += 1) await build.task();
    await write((tx) => admitTasks(tx, []));
    await build.gate();
    expect(await write(admitGates)).toHaveLength(1);
  });
});

describe('breakers', () => {
  const declare = () =>
    write((tx) => declareBreakers(tx, [{ tool: 'agent', failureThreshold: 2, cooldownSeconds: 60 }]));
  const row = async () => (await db.daos.breakers.getByTool('agent'))!;
  const fact = (taskId: string, attempt: number, kind: 'success' | 'fault' | 'neutral') =>
    write((tx) => recordFact(tx, { tool: 'agent', taskId, attempt, fact: kind }));
  const coolDown = () => db.database.query(sql`update circuit_breakers set opened_at = now() - interval '1 hour'`);

  test('consecutive faults open it, a success in between starts the count anew', async () => {
    await declare();
    await fact('t', 1, 'fault');
    await fact('t', 2, 'success');
    await fact('t', 3, 'fault');
    expect(await row()).toMatchObject({ state: 'CLOSED', failure_count: 1 });
    await fact('t', 4, 'fault');
    expect(await row()).toMatchObject({ state: 'OPEN', reason: 'consecutive_faults' });
  });

  test('P10: open, nothing is admitted, what was dispatched is handed back and waits', async () => {
    await declare();
    await build.worker({ task_slots: 10 });
    const { worker_id } = await build.worker();
    const task = await build.dispatchedTask({ tool: 'agent' });
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    expect(await write((tx) => claimTasks(tx, [claim(task.task_id, worker_id)]))).toEqual([undefined]);
    expect(await db.daos.tasks.get(task.task_id)).toMatchObject({
      state: 'QUEUED',
      dispatched_at: null,
      retry_count: 0,
    });
    expect(await write((tx) => admitTasks(tx, []))).toEqual([]);
  });

  test('after the cooldown exactly one probe is admitted, and only its result counts', async () => {
    await declare();
    await build.worker({ task_slots: 10 });
    const { worker_id } = await build.worker();
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    for (let i = 0; i < 3; i += 1) await build.task({ tool: 'agent' });
    await coolDown();
    const [probe, ...others] = await write((tx) => admitTasks(tx, []));
    expect(others).toEqual([]);
    expect(await row()).toMatchObject({ state: 'HALF_OPEN', probe_task_id: probe!.id, probe_attempt: 1 });
    // A late success from before the trip changes nothing.
    await fact('an old task', 1, 'success');
    expect((await row()).state).toBe('HALF_OPEN');
    expect((await write((tx) => claimTasks(tx, [claim(probe!.id, worker_id)])))[0]).toMatchObject({
      breaker_state: 'HALF_OPEN',
    });
    await fact(probe!.id, 1, 'success');
    expect(await row()).toMatchObject({ state: 'CLOSED', failure_count: 0, probe_task_id: null });
  });

  test('a probe that faults opens again; one that ends with neither frees the place', async () => {
    await declare();
    await build.worker({ task_slots: 10 });
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    await build.task({ tool: 'agent' });
    await build.task({ tool: 'agent' });
    await coolDown();
    const [first] = await write((tx) => admitTasks(tx, []));
    await fact(first!.id, 1, 'neutral');
    expect(await row()).toMatchObject({ state: 'HALF_OPEN', probe_task_id: null });
    const [second] = await write((tx) => admitTasks(tx, []));
    expect(second!.id).not.toBe(first!.id);
    await fact(second!.id, 1, 'fault');
    expect(await row()).toMatchObject({ state: 'OPEN', reason: 'probe_failed' });
  });

  test('a probe whose message is lost, or that is cancelled, frees the place by itself', async () => {
    await declare();
    await build.worker({ task_slots: 10 });
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    const tasks = [
      await build.task({ tool: 'agent' }),
      await build.task({ tool: 'agent' }),
      await build.task({ tool: 'agent' }),
    ];
    await coolDown();
    const [lost] = await write((tx) => admitTasks(tx, []));
    expect(await write((tx) => admitTasks(tx, []))).toEqual([]);
    await db.database.query(
      sql`update tasks set dispatched_at = now() - interval '1 hour' where task_id = ${lost!.id}`,
    );
    await write((tx) => forgetLostDispatches(tx, 5_000));
    const [again] = await write((tx) => admitTasks(tx, []));
    expect(again).toMatchObject({ id: lost!.id, dispatch: 2 });
    await write((tx) => cancelTask(tx, again!.id, { actor: 'ada' }));
    const [next] = await write((tx) => admitTasks(tx, []));
    expect(tasks.map(({ task_id }) => task_id)).toContain(next!.id);
    expect(await row()).toMatchObject({ state: 'HALF_OPEN', probe_task_id: next!.id });
  });

  test('a restart keeps the state and takes the new settings', async () => {
    await declare();
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    await write((tx) => declareBreakers(tx, [{ tool: 'agent', failureThreshold: 9, cooldownSeconds: 5 }]));
    expect(await row()).toMatchObject({ state: 'OPEN', failure_threshold: 9, cooldown_seconds: 5 });
  });
});

describe('cancel', () => {
  test('a run is FAILED as cancelled, with everything of it that has not ended', async () => {
    const task = await build.runningTask();
    const patch = await build.patch({
      task_id: (await build.task({ workstream_id: task.workstream_id, state: 'VALIDATING' })).task_id,
    });
    const running = await write((tx) => cancelRun(tx, task.run_id!, { actor: 'ada', reason: 'wrong spec' }));
    expect(running).toEqual([task.task_id]);
    expect(await db.daos.runs.get(task.run_id!)).toMatchObject({
      state: 'FAILED',
      reason: 'cancelled',
      outcome: 'cancelled',
    });
    expect(await taskState(task.task_id)).toBe('CANCELLED');
    expect(await db.daos.patches.get(patch.patch_id)).toMatchObject({ state: 'EXPIRED', reason: 'cancelled' });
    // A worker that did not hear of it is refused.
    expect(await write((tx) => endAttempts(tx, [unchanged(task.task_id, 1)]))).toEqual([false]);
  });

  test('while a patch is between intent and verification it is refused and may be tried again', async () => {
    const patch = await build.patch({ intent_id: 'intent_1' });
    const code = { code: 'run.landing', retryable: true };
    await expect(write((tx) => cancelRun(tx, patch.run_id!, { actor: 'ada' }))).rejects.toMatchObject(code);
    await expect(write((tx) => cancelTask(tx, patch.task_id, { actor: 'ada' }))).rejects.toMatchObject({
      code: 'patch.landing',
    });
  });

  test('what has ended stays as it is', async () => {
    const { run_id } = await build.run({ state: 'COMPLETED' });
    await expect(write((tx) => cancelRun(tx, run_id, { actor: 'ada' }))).rejects.toMatchObject({
      code: 'state.changed',
    });
    await expect(write((tx) => cancelRun(tx, 'run_no', { actor: 'ada' }))).rejects.toMatchObject({
      code: 'entity.not_found',
    });
    await expect(write((tx) => cancelTask(tx, 'task_no', { actor: 'ada' }))).rejects.toMatchObject({
      code: 'entity.not_found',
    });
  });
});

describe('roll-up', () => {
  test('endings count once, upwards, and the run ends when nothing can move', async () => {
    const run = await build.run({ workstreams_total: 2, tasks_total: 3 });
    const one = await build.workstream({ run_id: run.run_id, tasks_total: 2 });
    const two = await build.workstream({ run_id: run.run_id, tasks_total: 1, critical: false });
    await build.task({ workstream_id: one.workstream_id, state: 'COMPLETED' });
    const last = await build.runningTask({ workstream_id: one.workstream_id });
    await build.task({ workstream_id: two.workstream_id, state: 'FAILED' });
    await write(rollUp);
    await write(rollUp);
    expect(await db.daos.runs.get(run.run_id)).toMatchObject({
      state: 'RUNNING',
      tasks_ended: 2,
      progress_percentage: 66,
    });
    await write((tx) => endAttempts(tx, [unchanged(last.task_id, 1)]));
    await write(rollUp);
    expect(await db.daos.runs.get(run.run_id)).toMatchObject({
      state: 'COMPLETED',
      outcome: 'succeeded',
      progress_percentage: 100,
    });
    expect((await db.daos.workstreams.get(two.workstream_id)).state).toBe('FAILED');
  });

  test('workstreams wait for each other; behind a failed one they are abandoned with their tasks', async () => {
    const run = await build.run({ state: 'INITIALIZING', workstreams_total: 4, tasks_total: 4 });
    const make = async (open_dependencies: number) => {
      const workstream = await build.workstream({ run_id: run.run_id, state: 'PENDING', open_dependencies });
      const task = await build.task({ workstream_id: workstream.workstream_id, state: 'PENDING', queued_at: null });
      return { workstream, task };
    };
    const [good, afterGood, bad, afterBad] = [await make(0), await make(1), await make(0), await make(1)];
    const edge = (a: typeof good, b: typeof good) =>
      db.daos.workstreamDependencies.create({
        workstream_id: a.workstream.workstream_id,
        depends_on_id: b.workstream.workstream_id,
      });
    await edge(afterGood, good);
    await edge(afterBad, bad);
    await write((tx) => startRun(tx, run.run_id));
    expect(await taskState(good.task.task_id)).toBe('QUEUED');
    expect(await taskState(afterGood.task.task_id)).toBe('PENDING');
    expect((await db.daos.workstreams.get(afterGood.workstream.workstream_id)).state).toBe('BLOCKED');

    const { worker_id } = await build.worker({ task_slots: 10 });
    for (const { id, dispatch } of await write((tx) => admitTasks(tx, [])))
      await write((tx) => claimTasks(tx, [claim(id, worker_id, dispatch)]));
    await write((tx) => endAttempts(tx, [unchanged(good.task.task_id, 1)]));
    await write((tx) =>
      endAttempts(tx, [
        { ...unchanged(bad.task.task_id, 1), ending: { kind: 'failed', failure: 'fatal', reason: 'x', evidence: {} } },
      ]),
    );
    for (let i = 0; i < 4; i += 1) await write(rollUp);
    expect(await taskState(afterGood.task.task_id)).toBe('QUEUED');
    expect(await taskState(afterBad.task.task_id)).toBe('CANCELLED');
    expect((await db.daos.workstreams.get(afterBad.workstream.workstream_id)).state).toBe('ABANDONED');
    expect((await db.daos.runs.get(run.run_id)).state).toBe('RUNNING');
  });
});

describe('workers', () => {
  const TIMES = { unhealthyAfterMs: 2_000, deadAfterMs: 6_000 };
  const silentFor = (workerId: string, seconds: number) =>
    db.database.query(
      sql`update workers set last_heartbeat = now() - make_interval(secs => ${seconds}::float8) where worker_id = ${workerId}`,
    );

  test('a heartbeat renews the leases of what is held and tells what is', async () => {
    const task = await build.runningTask({ lease_expires_at: new Date(Date.now() - 1_000) });
    const workerId = task.worker_id!;
    const held = await write((tx) => heartbeat(tx, { workerId, heldIds: [task.task_id, 'task_gone'], leaseMs: 6_000 }));
    expect(held).toEqual({ draining: false, held: [{ id: task.task_id, attempt: 1 }] });
    expect((await db.daos.workers.get(workerId)).state).toBe('BUSY');
    expect((await db.daos.tasks.get(task.task_id)).lease_expires_at!.getTime()).toBeGreaterThan(Date.now());
    await write((tx) => heartbeat(tx, { workerId, heldIds: [], leaseMs: 6_000 }));
    expect((await db.daos.workers.get(workerId)).state).toBe('IDLE');
  });

  test('silence makes UNHEALTHY, then DEAD; what it held goes back without a retry used', async () => {
    const task = await build.runningTask({ lease_expires_at: new Date(Date.now() - 1_000) });
    const gate = await build.gate({
      state: 'RUNNING',
      worker_id: task.worker_id,
      lease_expires_at: new Date(Date.now() - 1_000),
    });
    await silentFor(task.worker_id!, 3);
    expect(await write((tx) => reapWorkers(tx, TIMES))).toMatchObject({ unhealthy: 1, dead: 0, tasks: 1, gates: 1 });
    expect(await db.daos.tasks.get(task.task_id)).toMatchObject({
      state: 'QUEUED',
      retry_count: 0,
      interruptions: 1,
      reason: 'worker_lost',
    });
    expect(await db.daos.gates.get(gate.gate_id)).toMatchObject({ state: 'FAILED', outcome: 'lost' });
    await silentFor(task.worker_id!, 7);
    expect(await write((tx) => reapWorkers(tx, TIMES))).toMatchObject({ unhealthy: 0, dead: 1 });
    expect(
      await write((tx) => heartbeat(tx, { workerId: task.worker_id!, heldIds: [], leaseMs: 6_000 })),
    ).toBeUndefined();
  });

  test('a worker that comes back in time is well again', async () => {
    const { worker_id } = await build.worker();
    await silentFor(worker_id, 3);
    await write((tx) => reapWorkers(tx, TIMES));
    await write((tx) => heartbeat(tx, { workerId: worker_id, heldIds: [], leaseMs: 6_000 }));
    expect((await db.daos.workers.get(worker_id)).state).toBe('IDLE');
  });

  test('nobody who lives is reaped', async () => {
    await build.runningTask();
    expect(await write((tx) => reapWorkers(tx, TIMES))).toEqual({ unhealthy: 0, dead: 0, tasks: 0, gates: 0 });
  });
});

describe('gates and landing', () => {
  let lease: HeldLease;
  beforeEach(async () => {
    await db.database.query(sql`delete from leases`);
    lease = (await write((tx) => acquireLease(tx, { name: 'landing:app@main', holder: 'me', ttlMs: 60_000 })))!;
  });
  const definition = gateSchema.parse({ name: 'unit', command: ['true'] });
  const gateFor = (patchId: string, tree = 'tree') => ({
    gate_id: newId('gate'),
    target_id: 'app@main',
    definition,
    digest: 'digest',
    tree_id: tree,
    tip_commit: 'tip',
    patch_ids: [patchId],
    pinned: false,
    owner: patchId,
  });
  const prove = async (patchId: string, outcome: 'passed' | 'red' | 'timeout', tree = 'tree') => {
    const gate = gateFor(patchId, tree);
    await write((tx) => requestGate(tx, lease, gate));
    await db.database.query(
      sql`update test_gates set dispatch = 1, dispatched_at = now() where gate_id = ${gate.gate_id}`,
    );
    const { worker_id } = await build.worker();
    await write((tx) => claimGate(tx, claim(gate.gate_id, worker_id)));
    const exitCode = outcome === 'passed' ? 0 : outcome === 'red' ? 1 : null;
    await write((tx) => endGate(tx, { gateId: gate.gate_id, attempt: 1, exitCode, outcome, results: {} }));
    return gate.gate_id;
  };
  const intentOf = (patchId: string, tree = 'tree') => ({
    targetId: 'app@main',
    oldTip: 'tip',
    newCommit: 'commit',
    treeId: tree,
    prove: 'every_commit' as const,
    patches: [{ patch_id: patchId, commit: 'commit', tree }],
    proofs: [{ tree, digest: 'digest', gate: 'unit' }],
  });

  test('one live execution a (tree, digest): a second request joins it', async () => {
    const { patch_id } = await build.patch();
    expect(await write((tx) => requestGate(tx, lease, gateFor(patch_id)))).toBe(true);
    expect(await write((tx) => requestGate(tx, lease, gateFor(patch_id)))).toBe(false);
  });

  test('the verdict is written with the ending; red then green is a flake, and green stays', async () => {
    const { patch_id } = await build.patch();
    const verdict = async () => (await db.daos.verdicts.findByTrees(['tree']))[0];
    await prove(patch_id, 'timeout');
    expect(await verdict()).toBeUndefined();
    await prove(patch_id, 'red');
    expect(await verdict()).toMatchObject({ passed: false, flaky: false });
    await prove(patch_id, 'passed');
    expect(await verdict()).toMatchObject({ passed: true, flaky: true });
    await prove(patch_id, 'red');
    expect(await verdict()).toMatchObject({ passed: true, flaky: true });
  });

  test('P3: no intent without a green verdict for the very tree that lands', async () => {
    const { patch_id } = await build.patch();
    expect(await write((tx) => openIntent(tx, lease, intentOf(patch_id)))).toBeUndefined();
    await prove(patch_id, 'red');
    expect(await write((tx) => openIntent(tx, lease, intentOf(patch_id)))).toBeUndefined();
    await prove(patch_id, 'passed', 'another tree');
    const elsewhere = { ...intentOf(patch_id), proofs: [{ tree: 'another tree', digest: 'digest', gate: 'unit' }] };
    expect(await write((tx) => openIntent(tx, lease, elsewhere))).toBeUndefined();
    expect(await write((tx) => openIntent(tx, lease, { ...intentOf(patch_id), proofs: [] }))).toBeUndefined();
    await prove(patch_id, 'passed');
    expect(await write((tx) => openIntent(tx, lease, intentOf(patch_id)))).toMatch(/^intent_/);
  });

  test('applied, verified, and the task completed in that transaction', async () => {
    const { patch_id, task_id } = await build.patch();
    await prove(patch_id, 'passed');
    const intentId = (await write((tx) => openIntent(tx, lease, intentOf(patch_id))))!;
    await write((tx) => settleApplied(tx, lease, intentId));
    await write((tx) => settleApplied(tx, lease, intentId));
    expect(await db.daos.patches.get(patch_id)).toMatchObject({
      state: 'APPLIED',
      landed_commit: 'commit',
      landed_tree: 'tree',
    });
    expect(await taskState(task_id)).toBe('VALIDATING');
    await write((tx) => verifyPatches(tx, lease, [patch_id]));
    expect((await db.daos.patches.get(patch_id)).state).toBe('VERIFIED');
    expect(await db.daos.tasks.get(task_id)).toMatchObject({ state: 'COMPLETED', landed_commit: 'commit' });
  });

  test('cleared, the patch is free and STAGED as it was', async () => {
    const { patch_id } = await build.patch();
    await prove(patch_id, 'passed');
    const intentId = (await write((tx) => openIntent(tx, lease, intentOf(patch_id))))!;
    await write((tx) =>
      stopPatch(tx, lease, { patchId: patch_id, to: 'BLOCKED', reason: 'gate_red', evidence: {}, mayRetry: true }),
    );
    expect((await db.daos.patches.get(patch_id)).state).toBe('STAGED');
    await write((tx) => settleCleared(tx, lease, intentId));
    expect(await db.daos.patches.get(patch_id)).toMatchObject({ state: 'STAGED', intent_id: null });
    expect(await db.daos.intents.findOpen('app@main')).toBeUndefined();
  });

  test('a coordinator that lost its lease writes nothing', async () => {
    const { patch_id } = await build.patch();
    await prove(patch_id, 'passed');
    await db.database.query(sql`update leases set expires_at = now() - interval '1 s'`);
    const taken = await write((tx) => acquireLease(tx, { name: lease.name, holder: 'other', ttlMs: 60_000 }));
    expect(taken?.epoch).toBe(lease.epoch + 1);
    await expect(write((tx) => openIntent(tx, lease, intentOf(patch_id)))).rejects.toMatchObject({
      code: 'lease.lost',
    });
    await expect(write((tx) => assertLease(tx, lease))).rejects.toMatchObject({ code: 'lease.lost' });
    expect(await db.daos.intents.findOpen('app@main')).toBeUndefined();
  });

  test('of ten that want a lease, one holds it', async () => {
    const wants = Array.from({ length: 10 }, (_, i) =>
      write((tx) => acquireLease(tx, { name: 'one', holder: `h${i}`, ttlMs: 60_000 })),
    );
    expect((await Promise.all(wants)).filter((held) => held !== undefined)).toHaveLength(1);
  });
});

test('events come in commit order: a slow transaction with a lower number is not skipped', async () => {
  const [slow, fast] = [await build.run(), await build.run()];
  const move = (id: string) =>
    ({ kind: 'run', from: ['RUNNING'], to: 'PAUSED', rows: toRows([id]), actor: 'x' }) as const;
  const start = (await db.daos.transitions.readAfter('0-0', { limit: 100_000 })).at(-1)?.cursor ?? '0-0';
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const slowWrite = write(async (tx) => {
    await transition(tx, move(slow.run_id));
    await held;
  });
  await expect.poll(async () => (await db.daos.runs.get(fast.run_id)).state).toBe('RUNNING');
  await new Promise((resolve) => setTimeout(resolve, 50));
  await write((tx) => transition(tx, move(fast.run_id)));
  // The fast one has committed, but a reader must not go past the slow one.
  const early = await db.daos.transitions.readAfter(start, { limit: 1_000 });
  release();
  await slowWrite;
  // Other databases of the server have transactions of their own: what is below them all is seen in the end.
  const seen = [...early];
  await eventually('both events', async () => {
    seen.push(...(await db.daos.transitions.readAfter(seen.at(-1)?.cursor ?? start, { limit: 1_000 })));
    return [slow, fast].every(({ run_id }) =>
      seen.some(({ entity_id, to_state }) => entity_id === run_id && to_state === 'PAUSED'),
    );
  });
  expect(new Set(seen.map(({ cursor }) => cursor)).size).toBe(seen.length);
});
