import { Client } from 'pg';
import { beforeEach, describe, expect, test } from 'vitest';
import { signed } from '../../src/contract/order.ts';
import { gateSchema } from '../../src/contract/policy.ts';
import { sql } from '../../src/database/database.ts';
import { WakeUpSender } from '../../src/database/wake-ups.ts';
import { VerdictSeal } from '../../src/domain/verdict-seal.ts';
import { admitTasks, requeueDue } from '../../src/ledger/attempts/admission.ts';
import { type AttemptEnd, endAttempts } from '../../src/ledger/attempts/attempts.ts';
import { claimGate, claimTasks } from '../../src/ledger/attempts/claims.ts';
import { heartbeat, reapWorkers } from '../../src/ledger/fleet/workers.ts';
import { endGate, requestGate } from '../../src/ledger/landing/gates.ts';
import { openIntent, settleApplied, settleCleared, verifyPatches } from '../../src/ledger/landing/intents.ts';
import { stopPatch } from '../../src/ledger/landing/stop-patches.ts';
import { acquireLease, assertLease, type HeldLease } from '../../src/ledger/leases.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import { cancelRun, cancelTask } from '../../src/ledger/runs/cancel.ts';
import { rollUp } from '../../src/ledger/runs/roll-up.ts';
import { startRun } from '../../src/ledger/runs/start-run.ts';
import { transition } from '../../src/ledger/transition.ts';
import { newId } from '../../src/lib/id.ts';
import { silentLog } from '../../src/lib/log.ts';
import { eventually } from '../support/eventually.ts';
import { ledgerCase } from '../support/ledger-case.ts';
import { attemptEnd, claimOf, newPatch } from '../support/ledger-words.ts';

const on = ledgerCase();
const taskState = async (id: string) => (await on.db.daos.tasks.get(id)).state;

test('the wake-ups of one commit go out in one notification', async () => {
  const listener = new Client({ connectionString: on.db.url });
  await listener.connect();
  try {
    const heard: string[] = [];
    listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
    await listener.query('listen sluice');
    const ledger = new Ledger(on.db.database, new WakeUpSender(on.db.database, silentLog()).send);
    await ledger.write(async (tx) => tx.wake('dispatch', 'roll-up', 'landing'));
    await eventually('they are heard', async () => heard.length > 0);
    expect(heard[0]!.split('\n').toSorted()).toEqual(['dispatch', 'landing', 'roll-up']);
  } finally {
    await listener.end();
  }
});

describe('P2: a transition', () => {
  test('a transition moves a row by compare-and-set and writes an audit row in the same transaction', async () => {
    const { run_id } = await on.build.run();
    const move = {
      kind: 'run',
      from: ['RUNNING'],
      to: 'PAUSED',
      ids: [run_id],
      ...signed({ actor: 'ada', reason: 'lunch' }),
    } as const;
    expect(await on.write((tx) => transition(tx, move))).toMatchObject([{ id: run_id, from_state: 'RUNNING' }]);
    // A lost race returns no row; it is not an error.
    expect(await on.write((tx) => transition(tx, move))).toEqual([]);
    const audit = await on.db.daos.transitions.findByEntity(run_id);
    expect(audit).toMatchObject([
      { from_state: 'RUNNING', to_state: 'PAUSED', reason: 'lunch', actor: 'ada', forced: false },
    ]);
  });

  test('a transition that is rolled back leaves neither the state nor the audit row', async () => {
    const { run_id } = await on.build.run();
    const failing = on.write(async (tx) => {
      await transition(tx, { kind: 'run', from: ['RUNNING'], to: 'PAUSED', ids: [run_id], actor: 'worker' });
      throw new Error('later');
    });
    await expect(failing).rejects.toThrow('later');
    expect((await on.db.daos.runs.get(run_id)).state).toBe('RUNNING');
    expect(await on.db.daos.transitions.findByEntity(run_id)).toEqual([]);
  });

  test('wake-ups go out after the commit, each once; a rollback sends none', async () => {
    const { run_id } = await on.build.run();
    const tasks = [await on.build.task({ run_id }), await on.build.runningTask({ run_id })];
    const cancel = {
      kind: 'task',
      from: ['QUEUED', 'RUNNING'],
      to: 'CANCELLED',
      ids: tasks.map(({ task_id }) => task_id),
      actor: 'ledger',
    } as const;
    on.db.wakeUps.length = 0;
    const failed = on.write(async (tx) => {
      await transition(tx, cancel);
      throw new Error('rolled back');
    });
    await expect(failed).rejects.toThrow('rolled back');
    expect(on.db.wakeUps).toEqual([]);
    await on.write(async (tx) => {
      await transition(tx, cancel);
      expect(on.db.wakeUps).toEqual([]);
    });
    expect(on.db.wakeUps.toSorted()).toEqual([`cancel:${tasks[1]!.task_id}`, 'dispatch', 'roll-up']);
  });

  test('an edge that the lifecycle does not have is refused, naming both states', async () => {
    const move = { kind: 'patch', from: ['PENDING'], to: 'VERIFIED', ids: ['x'], actor: 'worker' } as const;
    await expect(on.write((tx) => transition(tx, move))).rejects.toMatchObject({
      code: 'state.illegal_edge',
      facts: { from: 'PENDING', to: 'VERIFIED' },
    });
  });

  test('of twenty transitions that race for one row exactly one wins', async () => {
    const { run_id } = await on.build.run();
    const racers = Array.from({ length: 20 }, () =>
      on.write((tx) =>
        transition(tx, { kind: 'run', from: ['RUNNING'], to: 'FAILED', ids: [run_id], actor: 'worker' }),
      ),
    );
    expect((await Promise.all(racers)).flat()).toHaveLength(1);
    expect(await on.db.daos.transitions.findByEntity(run_id)).toHaveLength(1);
  });

  test('two batches over the same rows in opposite order both complete', async () => {
    const ids = (await Promise.all(Array.from({ length: 10 }, () => on.build.run()))).map(({ run_id }) => run_id);
    const move = (rows: string[]) =>
      on.write((tx) => transition(tx, { kind: 'run', from: ['RUNNING'], to: 'FAILED', ids: rows, actor: 'worker' }));
    const [one, two] = await Promise.all([move(ids), move(ids.toReversed())]);
    expect(one.length + two.length).toBe(10);
  });

  test('a reason with NUL or a lone surrogate is cleaned and stored', async () => {
    const { run_id } = await on.build.run();
    const order = signed({ actor: 'ada', reason: 'a\0b\ud800' });
    const move = { kind: 'run', from: ['RUNNING'], to: 'FAILED', ids: [run_id], detail: { text: '\0' } } as const;
    await on.write((tx) => transition(tx, { ...move, ...order }));
    expect((await on.db.daos.runs.get(run_id)).reason).toBe('ab\ufffd');
  });
});

describe('P5: the fence', () => {
  test('a claim raises the attempt, and the same message cannot claim again', async () => {
    const task = await on.build.dispatchedTask();
    const { worker_id } = await on.build.worker();
    const [claimed] = await on.write((tx) => claimTasks(tx, [claimOf(task.task_id, worker_id)]));
    expect(claimed).toMatchObject({ task_id: task.task_id, attempt: 1 });
    expect(await on.write((tx) => claimTasks(tx, [claimOf(task.task_id, worker_id)]))).toEqual([undefined]);
    expect(await on.db.daos.tasks.get(task.task_id)).toMatchObject({ state: 'RUNNING', worker_id, attempt: 1 });
  });

  test('a message of an older dispatch claims nothing', async () => {
    const task = await on.build.dispatchedTask({ dispatch: 2 });
    const { worker_id } = await on.build.worker();
    expect(await on.write((tx) => claimTasks(tx, [claimOf(task.task_id, worker_id, 1)]))).toEqual([undefined]);
    expect(await taskState(task.task_id)).toBe('QUEUED');
  });

  test('the ending of a stale attempt is refused; the ending of the newest is accepted once', async () => {
    const task = await on.build.runningTask({ attempt: 2 });
    expect(await on.write((tx) => endAttempts(tx, [attemptEnd(task.task_id)]))).toEqual([false]);
    expect(await taskState(task.task_id)).toBe('RUNNING');
    expect(await on.write((tx) => endAttempts(tx, [attemptEnd(task.task_id, { attempt: 2 })]))).toEqual([true]);
    expect(await on.write((tx) => endAttempts(tx, [attemptEnd(task.task_id, { attempt: 2 })]))).toEqual([false]);
    expect(await taskState(task.task_id)).toBe('COMPLETED');
  });

  test('control: without its fence the same write would go through', async () => {
    const task = await on.build.runningTask({ attempt: 2 });
    const move = {
      kind: 'task',
      from: ['RUNNING'],
      to: 'VALIDATING',
      ids: [task.task_id],
      actor: 'worker',
    } as const;
    expect(await on.write((tx) => transition(tx, move))).toHaveLength(1);
  });

  test('a dead worker claims nothing', async () => {
    const task = await on.build.dispatchedTask();
    const { worker_id } = await on.build.worker({ state: 'DEAD' });
    expect(await on.write((tx) => claimTasks(tx, [claimOf(task.task_id, worker_id)]))).toEqual([undefined]);
  });

  test('group commit: each of a hundred concurrent claims gets its own answer', async () => {
    const { worker_id } = await on.build.worker();
    const run = await on.build.run();
    const { workstream_id } = await on.build.workstream({ run_id: run.run_id });
    const tasks = [];
    for (let i = 0; i < 100; i += 1) tasks.push(await on.build.dispatchedTask({ workstream_id, dispatch: i % 2 }));
    const answers = await Promise.all(tasks.map(({ task_id }) => on.db.ledger.claimTask(claimOf(task_id, worker_id))));
    expect(answers.map((answer) => answer !== undefined)).toEqual(tasks.map((_, i) => i % 2 === 1));
    const ends = await Promise.all(tasks.map(({ task_id }) => on.db.ledger.endAttempt(attemptEnd(task_id))));
    expect(ends.filter(Boolean)).toHaveLength(50);
  });
});

describe('how an attempt ends', () => {
  const end = (taskId: string, ending: AttemptEnd['ending']): AttemptEnd => attemptEnd(taskId, { ending });
  const failure = (kind: 'retryable' | 'fatal' | 'interrupted') =>
    ({ kind: 'failed', failure: kind, reason: 'tool_exit:1', evidence: { text: 'x' } }) as const;

  test('an attempt with a patch stages it with unchanged bytes and makes its task VALIDATING', async () => {
    const { task_id } = await on.build.runningTask();
    const patch = newPatch();
    await on.write((tx) => endAttempts(tx, [end(task_id, { kind: 'patch', patch, mayRetry: true })]));
    expect(await taskState(task_id)).toBe('VALIDATING');
    const stored = (await on.db.daos.patches.findByTask(task_id))[0]!;
    expect(stored.state).toBe('STAGED');
    expect((await on.db.daos.patches.readDiff(stored.patch_id)).equals(patch.diff!)).toBe(true);
    const audit = await on.db.daos.transitions.findByEntity(stored.patch_id);
    expect(audit.map(({ to_state }) => to_state)).toEqual(['PENDING', 'VALIDATING', 'STAGED']);
  });

  test('a ready-made patch keeps the id under which it was recorded', async () => {
    const { task_id } = await on.build.runningTask({ tool: 'patch' });
    const recorded = await on.build.patch({ task_id, state: 'PENDING', staged_at: null });
    await on.write((tx) => endAttempts(tx, [end(task_id, { kind: 'patch', patch: newPatch(), mayRetry: false })]));
    expect((await on.db.daos.patches.findByTask(task_id)).map(({ patch_id, state }) => [patch_id, state])).toEqual([
      [recorded.patch_id, 'STAGED'],
    ]);
  });

  test('a recorded patch whose task ended without building it is EXPIRED', async () => {
    const { task_id } = await on.build.task({ state: 'CANCELLED', reason: 'dependency_failed' });
    const { patch_id } = await on.build.patch({ task_id, state: 'PENDING' });
    await on.write(rollUp);
    expect(await on.db.daos.patches.get(patch_id)).toMatchObject({ state: 'EXPIRED', reason: 'dependency_failed' });
  });

  test('after a quarantine the task of a tool is retried with the evidence, and a ready-made patch fails at once', async () => {
    const refusal = { reason: 'out_of_scope', evidence: { paths: ['x'] } } as const;
    const tool = await on.build.runningTask();
    const ready = await on.build.runningTask();
    await on.write((tx) =>
      endAttempts(tx, [
        end(tool.task_id, { kind: 'patch', patch: newPatch(refusal), mayRetry: true }),
        end(ready.task_id, { kind: 'patch', patch: newPatch(refusal), mayRetry: false }),
      ]),
    );
    expect(await on.db.daos.tasks.get(tool.task_id)).toMatchObject({
      state: 'RETRYING',
      retry_count: 1,
      evidence: { reason: 'out_of_scope' },
    });
    expect(await taskState(ready.task_id)).toBe('FAILED');
  });

  test('a retryable failure uses a retry, a fatal one FAILS the task, an interruption requeues it without using a retry', async () => {
    const [a, b, c] = [await on.build.runningTask(), await on.build.runningTask(), await on.build.runningTask()];
    await on.write((tx) =>
      endAttempts(tx, [
        end(a.task_id, failure('retryable')),
        end(b.task_id, failure('fatal')),
        end(c.task_id, failure('interrupted')),
      ]),
    );
    expect(await on.db.daos.tasks.get(a.task_id)).toMatchObject({ state: 'RETRYING', retry_count: 1, worker_id: null });
    expect(await on.db.daos.tasks.get(b.task_id)).toMatchObject({ state: 'FAILED', retry_count: 0, outcome: 'failed' });
    expect(await on.db.daos.tasks.get(c.task_id)).toMatchObject({ state: 'QUEUED', retry_count: 0, interruptions: 1 });
    await on.db.database.query(
      sql`update tasks set available_at = now() - interval '1 s' where task_id = ${a.task_id}`,
    );
    await on.write(requeueDue);
    expect(await taskState(a.task_id)).toBe('QUEUED');
  });

  test('a dependant is queued when its last dependency completes, and each edge counts once', async () => {
    const { workstream_id } = await on.build.workstream();
    const [a, b] = [await on.build.runningTask({ workstream_id }), await on.build.runningTask({ workstream_id })];
    const child = await on.build.task({ workstream_id, state: 'BLOCKED', open_dependencies: 2 });
    for (const needed of [a, b])
      await on.db.daos.taskDependencies.create({ task_id: child.task_id, depends_on_id: needed.task_id });
    await on.write((tx) => endAttempts(tx, [attemptEnd(a.task_id)]));
    expect(await on.db.daos.tasks.get(child.task_id)).toMatchObject({ state: 'BLOCKED', open_dependencies: 1 });
    await on.write((tx) => endAttempts(tx, [attemptEnd(b.task_id)]));
    expect(await on.db.daos.tasks.get(child.task_id)).toMatchObject({ state: 'QUEUED', open_dependencies: 0 });
  });
});

describe('cancel', () => {
  test('a cancelled run is FAILED, and its live tasks and patches end with it', async () => {
    const task = await on.build.runningTask();
    const patch = await on.build.patch({
      task_id: (await on.build.task({ workstream_id: task.workstream_id, state: 'VALIDATING' })).task_id,
    });
    await on.write((tx) => cancelRun(tx, task.run_id!, { actor: 'ada', reason: 'wrong spec' }));
    expect(on.db.wakeUps).toContain(`cancel:${task.task_id}`);
    expect(await on.db.daos.runs.get(task.run_id!)).toMatchObject({
      state: 'FAILED',
      reason: 'cancelled',
      outcome: 'cancelled',
    });
    expect(await taskState(task.task_id)).toBe('CANCELLED');
    expect(await on.db.daos.patches.get(patch.patch_id)).toMatchObject({ state: 'EXPIRED', reason: 'cancelled' });
    // A worker that missed the cancel is refused.
    expect(await on.write((tx) => endAttempts(tx, [attemptEnd(task.task_id)]))).toEqual([false]);
  });

  test('a cancel is refused as retryable while a patch is between intent and verification', async () => {
    const patch = await on.build.patch({ intent_id: 'intent_1' });
    const code = { code: 'run.landing', retryable: true };
    await expect(on.write((tx) => cancelRun(tx, patch.run_id!, { actor: 'ada' }))).rejects.toMatchObject(code);
    await expect(on.write((tx) => cancelTask(tx, patch.task_id, { actor: 'ada' }))).rejects.toMatchObject({
      code: 'patch.landing',
    });
  });

  test('a run that has ended cannot be cancelled, and unknown ids are not found', async () => {
    const { run_id } = await on.build.run({ state: 'COMPLETED' });
    await expect(on.write((tx) => cancelRun(tx, run_id, { actor: 'ada' }))).rejects.toMatchObject({
      code: 'state.changed',
    });
    await expect(on.write((tx) => cancelRun(tx, 'run_no', { actor: 'ada' }))).rejects.toMatchObject({
      code: 'entity.not_found',
    });
    await expect(on.write((tx) => cancelTask(tx, 'task_no', { actor: 'ada' }))).rejects.toMatchObject({
      code: 'entity.not_found',
    });
  });
});

describe('roll-up', () => {
  test('a roll-up counts each ending once, and the run ends with its last task', async () => {
    const run = await on.build.run({ workstreams_total: 2, tasks_total: 3 });
    const one = await on.build.workstream({ run_id: run.run_id, tasks_total: 2 });
    const two = await on.build.workstream({ run_id: run.run_id, tasks_total: 1, critical: false });
    await on.build.task({ workstream_id: one.workstream_id, state: 'COMPLETED' });
    const last = await on.build.runningTask({ workstream_id: one.workstream_id });
    await on.build.task({ workstream_id: two.workstream_id, state: 'FAILED' });
    await on.write(rollUp);
    await on.write(rollUp);
    expect(await on.db.daos.runs.get(run.run_id)).toMatchObject({
      state: 'RUNNING',
      tasks_ended: 2,
      progress_percentage: 66,
    });
    await on.write((tx) => endAttempts(tx, [attemptEnd(last.task_id)]));
    await on.write(rollUp);
    expect(await on.db.daos.runs.get(run.run_id)).toMatchObject({
      state: 'COMPLETED',
      outcome: 'succeeded',
      progress_percentage: 100,
    });
    expect((await on.db.daos.workstreams.get(two.workstream_id)).state).toBe('FAILED');
  });

  test('a workstream starts after the one it depends on, and is ABANDONED with its tasks if that one fails', async () => {
    const run = await on.build.run({ state: 'INITIALIZING', workstreams_total: 4, tasks_total: 4 });
    const make = async (open_dependencies: number) => {
      const workstream = await on.build.workstream({ run_id: run.run_id, state: 'PENDING', open_dependencies });
      const task = await on.build.task({ workstream_id: workstream.workstream_id, state: 'PENDING', queued_at: null });
      return { workstream, task };
    };
    const [good, afterGood, bad, afterBad] = [await make(0), await make(1), await make(0), await make(1)];
    const edge = (a: typeof good, b: typeof good) =>
      on.db.daos.workstreamDependencies.create({
        workstream_id: a.workstream.workstream_id,
        depends_on_id: b.workstream.workstream_id,
      });
    await edge(afterGood, good);
    await edge(afterBad, bad);
    await on.write((tx) => startRun(tx, run.run_id));
    expect(await taskState(good.task.task_id)).toBe('QUEUED');
    expect(await taskState(afterGood.task.task_id)).toBe('PENDING');
    expect((await on.db.daos.workstreams.get(afterGood.workstream.workstream_id)).state).toBe('BLOCKED');

    const { worker_id } = await on.build.worker({ task_slots: 10 });
    for (const { id, dispatch } of await on.write((tx) => admitTasks(tx)))
      await on.write((tx) => claimTasks(tx, [claimOf(id, worker_id, dispatch)]));
    await on.write((tx) => endAttempts(tx, [attemptEnd(good.task.task_id)]));
    await on.write((tx) =>
      endAttempts(tx, [
        {
          ...attemptEnd(bad.task.task_id),
          ending: { kind: 'failed', failure: 'fatal', reason: 'tool_exit:2', evidence: {} },
        },
      ]),
    );
    for (let i = 0; i < 4; i += 1) await on.write(rollUp);
    expect(await taskState(afterGood.task.task_id)).toBe('QUEUED');
    expect(await taskState(afterBad.task.task_id)).toBe('CANCELLED');
    expect((await on.db.daos.workstreams.get(afterBad.workstream.workstream_id)).state).toBe('ABANDONED');
    expect((await on.db.daos.runs.get(run.run_id)).state).toBe('RUNNING');
  });
});

describe('workers', () => {
  const TIMES = { unhealthyAfterMs: 2_000, deadAfterMs: 6_000 };
  const silentFor = (workerId: string, seconds: number) =>
    on.db.database.query(
      sql`update workers set last_heartbeat = now() - make_interval(secs => ${seconds}::float8) where worker_id = ${workerId}`,
    );

  test('a heartbeat renews the leases of held tasks and returns the ones that the worker still holds', async () => {
    const task = await on.build.runningTask({ lease_expires_at: new Date(Date.now() - 1_000) });
    const workerId = task.worker_id!;
    const held = await on.write((tx) =>
      heartbeat(tx, { workerId, heldIds: [task.task_id, 'task_gone'], leaseMs: 6_000, starving: false }),
    );
    expect(held).toEqual({ draining: false, held: [{ id: task.task_id, attempt: 1 }] });
    expect((await on.db.daos.workers.get(workerId)).state).toBe('BUSY');
    expect((await on.db.daos.tasks.get(task.task_id)).lease_expires_at!.getTime()).toBeGreaterThan(Date.now());
    await on.write((tx) => heartbeat(tx, { workerId, heldIds: [], leaseMs: 6_000, starving: false }));
    expect((await on.db.daos.workers.get(workerId)).state).toBe('IDLE');
  });

  test('a silent worker is UNHEALTHY, then DEAD; its task is requeued without using a retry, and its gate is lost', async () => {
    const task = await on.build.runningTask({ lease_expires_at: new Date(Date.now() - 1_000) });
    const gate = await on.build.gate({
      state: 'RUNNING',
      worker_id: task.worker_id,
      lease_expires_at: new Date(Date.now() - 1_000),
    });
    await silentFor(task.worker_id!, 3);
    expect(await on.write((tx) => reapWorkers(tx, TIMES))).toMatchObject({ unhealthy: 1, dead: 0, tasks: 1, gates: 1 });
    expect(await on.db.daos.tasks.get(task.task_id)).toMatchObject({
      state: 'QUEUED',
      retry_count: 0,
      interruptions: 1,
      reason: 'worker_lost',
    });
    expect(await on.db.daos.gates.get(gate.gate_id)).toMatchObject({ state: 'FAILED', outcome: 'lost' });
    await silentFor(task.worker_id!, 7);
    expect(await on.write((tx) => reapWorkers(tx, TIMES))).toMatchObject({ unhealthy: 0, dead: 1 });
    expect(
      await on.write((tx) =>
        heartbeat(tx, { workerId: task.worker_id!, heldIds: [], leaseMs: 6_000, starving: false }),
      ),
    ).toBeUndefined();
  });

  test('an UNHEALTHY worker whose heartbeat comes in time is IDLE again', async () => {
    const { worker_id } = await on.build.worker();
    await silentFor(worker_id, 3);
    await on.write((tx) => reapWorkers(tx, TIMES));
    await on.write((tx) => heartbeat(tx, { workerId: worker_id, heldIds: [], leaseMs: 6_000, starving: false }));
    expect((await on.db.daos.workers.get(worker_id)).state).toBe('IDLE');
  });

  test('a living worker is not reaped', async () => {
    await on.build.runningTask();
    expect(await on.write((tx) => reapWorkers(tx, TIMES))).toEqual({ unhealthy: 0, dead: 0, tasks: 0, gates: 0 });
  });
});

const FUTURE = Date.now() + 60_000;

describe('gates and landing', () => {
  let lease: HeldLease;
  beforeEach(async () => {
    await on.db.database.query(sql`delete from leases`);
    lease = (await on.write((tx) => acquireLease(tx, { name: 'landing:app@main', holder: 'me', ttlMs: 60_000 })))!;
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
  const seal = new VerdictSeal('a key of this test');
  const prove = async (patchId: string, outcome: 'passed' | 'red' | 'timeout', tree = 'tree') => {
    const gate = gateFor(patchId, tree);
    await on.write((tx) => requestGate(tx, lease, gate));
    await on.db.database.query(
      sql`update test_gates set dispatch = 1, dispatched_at = now() where gate_id = ${gate.gate_id}`,
    );
    const { worker_id } = await on.build.worker();
    await on.write((tx) => claimGate(tx, claimOf(gate.gate_id, worker_id)));
    const exitCode = outcome === 'passed' ? 0 : outcome === 'red' ? 1 : null;
    await on.write((tx) =>
      endGate(tx, { gateId: gate.gate_id, workerId: worker_id, attempt: 1, exitCode, outcome, results: {} }, seal),
    );
    return gate.gate_id;
  };
  const intentOf = (patchId: string, { tree = 'tree', reds = 0, excusedFromMs = 0, excusedBeforeMs = 0 } = {}) => ({
    targetId: 'app@main',
    oldTip: 'tip',
    newCommit: 'commit',
    treeId: tree,
    prove: 'every_commit' as const,
    patches: [{ patch_id: patchId, commit: 'commit', tree }],
    proofs: [{ tree, digest: 'digest', gate: 'unit', tolerance: { reds, excusedFromMs, excusedBeforeMs } }],
  });

  test('one execution per (tree, digest) is live: a second request starts none', async () => {
    const { patch_id } = await on.build.patch();
    expect(await on.write((tx) => requestGate(tx, lease, gateFor(patch_id)))).toBe(true);
    expect(await on.write((tx) => requestGate(tx, lease, gateFor(patch_id)))).toBe(false);
  });

  test('every gate execution that decides writes a verdict, which is flaky if another one decided otherwise', async () => {
    const { patch_id } = await on.build.patch();
    for (const outcome of ['timeout', 'red', 'passed', 'passed', 'red'] as const) await prove(patch_id, outcome);
    const verdicts = await on.db.daos.verdicts.findByTrees(['tree']);
    const inOrder = verdicts.toSorted((a, b) => a.created_at.getTime() - b.created_at.getTime());
    expect(inOrder.map(({ passed, flaky }) => [passed, flaky])).toEqual([
      [false, false],
      [true, true],
      [true, true],
      [false, true],
    ]);
  });

  test('P3: no intent is opened without a green verdict for the very tree that lands', async () => {
    const { patch_id } = await on.build.patch();
    expect(await on.write((tx) => openIntent(tx, { lease, seal }, intentOf(patch_id)))).toBeUndefined();
    await prove(patch_id, 'red');
    expect(await on.write((tx) => openIntent(tx, { lease, seal }, intentOf(patch_id)))).toBeUndefined();
    await prove(patch_id, 'passed', 'another tree');
    const elsewhere = { ...intentOf(patch_id), proofs: intentOf(patch_id, { tree: 'another tree' }).proofs };
    expect(await on.write((tx) => openIntent(tx, { lease, seal }, elsewhere))).toBeUndefined();
    expect(
      await on.write((tx) => openIntent(tx, { lease, seal }, { ...intentOf(patch_id), proofs: [] })),
    ).toBeUndefined();
    await prove(patch_id, 'passed');
    const tolerant = intentOf(patch_id, { reds: 1 });
    expect(await on.write((tx) => openIntent(tx, { lease, seal }, tolerant))).toMatch(/^intent_/);
  });

  test.each([
    ['as many as flakes explain', ['red', 'red', 'passed'], { reds: 2 }, true],
    ['one more than flakes explain', ['red', 'red', 'passed'], { reds: 1 }, false],
    ['fewer than the greens', ['red', 'passed', 'passed'], {}, true],
    ['as many as the greens', ['red', 'passed'], {}, false],
    ['from before the tip was bad', ['red', 'passed'], { excusedFromMs: FUTURE - 1, excusedBeforeMs: FUTURE }, false],
    [
      'from a time in which the tip was bad',
      ['red', 'timeout', 'passed'],
      { excusedBeforeMs: Date.now() + 60_000 },
      true,
    ],
  ] as const)(
    'P3: reds beside a green, %s: an intent is opened only if they are tolerated; a patch staged again starts afresh',
    async (_, outcomes, tolerance, lands) => {
      const { patch_id } = await on.build.patch();
      for (const outcome of outcomes) await prove(patch_id, outcome);
      const intentId = await on.write((tx) => openIntent(tx, { lease, seal }, intentOf(patch_id, tolerance)));
      expect(intentId !== undefined).toBe(lands);
      if (lands) return;
      await on.db.database.query(sql`update patches set staged_at = now()`);
      await prove(patch_id, 'passed');
      expect(await on.write((tx) => openIntent(tx, { lease, seal }, intentOf(patch_id)))).toMatch(/^intent_/);
    },
  );

  test.each<[string, (patchId: string) => Promise<unknown>]>([
    [
      'a verdict without an execution',
      () =>
        on.db.database.query(sql`
        insert into gate_verdicts (tree_id, digest, passed, gate_id, gate_name) values ('tree', 'digest', true, 'gate_forged', 'unit')`),
    ],
    [
      'a red verdict made green',
      async (patchId) => {
        await prove(patchId, 'red');
        await on.db.database.query(sql`update gate_verdicts set passed = true`);
      },
    ],
    [
      'a red verdict and its execution made green, without a seal',
      async (patchId) => {
        await prove(patchId, 'red');
        await on.db.database.query(sql`update test_gates set state = 'PASSED', outcome = null, exit_code = 0`);
        await on.db.database.query(sql`update gate_verdicts set passed = true`);
      },
    ],
    [
      'an execution claimed by an unknown worker',
      async (patchId) => {
        await prove(patchId, 'passed');
        await on.db.database.query(sql`update test_gates set claimed_by = 'wrk_nobody'`);
      },
    ],
    [
      'an execution of a worker that was dead by then',
      async (patchId) => {
        await prove(patchId, 'passed');
        await on.db.database.query(sql`
          update workers set state = 'DEAD', stopped_at = (select min(completed_at) - interval '1 second' from test_gates)`);
      },
    ],
    [
      'a green verdict of another tree',
      async (patchId) => {
        await prove(patchId, 'passed', 'another tree');
        await on.db.database.query(sql`update gate_verdicts set tree_id = 'tree'`);
      },
    ],
    [
      'a seal under another key',
      async (patchId) => {
        await prove(patchId, 'passed');
        const other = new VerdictSeal('another key').sign({ treeId: 'tree', digest: 'digest', gateId: 'gate' });
        await on.db.database.query(sql`update gate_verdicts set seal = ${other}`);
      },
    ],
  ])('P3: a forgery (%s) opens no intent, and an honest green after it does', async (_what, forge) => {
    const { patch_id } = await on.build.patch();
    await forge(patch_id);
    const intent = intentOf(patch_id, { reds: 1 });
    expect(await on.write((tx) => openIntent(tx, { lease, seal }, intent))).toBeUndefined();
    await prove(patch_id, 'passed');
    expect(await on.write((tx) => openIntent(tx, { lease, seal }, intent))).toMatch(/^intent_/);
  });

  test('a patch whose intent is settled is APPLIED, then VERIFIED, and its task COMPLETED in the same transaction', async () => {
    const { patch_id, task_id } = await on.build.patch();
    await prove(patch_id, 'passed');
    const intentId = (await on.write((tx) => openIntent(tx, { lease, seal }, intentOf(patch_id))))!;
    await on.write((tx) => settleApplied(tx, lease, intentId));
    await on.write((tx) => settleApplied(tx, lease, intentId));
    expect(await on.db.daos.patches.get(patch_id)).toMatchObject({
      state: 'APPLIED',
      landed_commit: 'commit',
      landed_tree: 'tree',
    });
    expect(await taskState(task_id)).toBe('VALIDATING');
    await on.write((tx) => verifyPatches(tx, lease, [patch_id]));
    expect((await on.db.daos.patches.get(patch_id)).state).toBe('VERIFIED');
    expect(await on.db.daos.tasks.get(task_id)).toMatchObject({ state: 'COMPLETED', landed_commit: 'commit' });
  });

  test('a patch under an intent cannot be stopped, and is STAGED as before when the intent is cleared', async () => {
    const { patch_id } = await on.build.patch();
    await prove(patch_id, 'passed');
    const intentId = (await on.write((tx) => openIntent(tx, { lease, seal }, intentOf(patch_id))))!;
    await on.write((tx) =>
      stopPatch(tx, lease, { patchId: patch_id, to: 'BLOCKED', reason: 'gate_red', evidence: {}, mayRetry: true }),
    );
    expect((await on.db.daos.patches.get(patch_id)).state).toBe('STAGED');
    await on.write((tx) => settleCleared(tx, lease, intentId));
    expect(await on.db.daos.patches.get(patch_id)).toMatchObject({ state: 'STAGED', intent_id: null });
    expect(await on.db.daos.intents.findOpen('app@main')).toBeUndefined();
  });

  test('a coordinator that lost its lease writes nothing', async () => {
    const { patch_id } = await on.build.patch();
    await prove(patch_id, 'passed');
    await on.db.database.query(sql`update leases set expires_at = now() - interval '1 s'`);
    const taken = await on.write((tx) => acquireLease(tx, { name: lease.name, holder: 'other', ttlMs: 60_000 }));
    expect(taken?.epoch).toBe(lease.epoch + 1);
    await expect(on.write((tx) => openIntent(tx, { lease, seal }, intentOf(patch_id)))).rejects.toMatchObject({
      code: 'lease.lost',
    });
    await expect(on.write((tx) => assertLease(tx, lease))).rejects.toMatchObject({ code: 'lease.lost' });
    expect(await on.db.daos.intents.findOpen('app@main')).toBeUndefined();
  });

  test('of ten holders that ask for a lease one gets it', async () => {
    const wants = Array.from({ length: 10 }, (_, i) =>
      on.write((tx) => acquireLease(tx, { name: 'one', holder: `h${i}`, ttlMs: 60_000 })),
    );
    expect((await Promise.all(wants)).filter((held) => held !== undefined)).toHaveLength(1);
  });
});

test('events come in commit order: a slow transaction with a lower number is not skipped', async () => {
  const [slow, fast] = [await on.build.run(), await on.build.run()];
  const move = (id: string) => ({ kind: 'run', from: ['RUNNING'], to: 'PAUSED', ids: [id], actor: 'worker' }) as const;
  const start = (await on.db.daos.transitions.readAfter('0-0', { limit: 100_000 })).at(-1)?.cursor ?? '0-0';
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const slowWrite = on.write(async (tx) => {
    await transition(tx, move(slow.run_id));
    await held;
  });
  await expect.poll(async () => (await on.db.daos.runs.get(fast.run_id)).state).toBe('RUNNING');
  await new Promise((resolve) => setTimeout(resolve, 50));
  await on.write((tx) => transition(tx, move(fast.run_id)));
  // The fast one has committed, but a reader must not go past the slow one.
  const early = await on.db.daos.transitions.readAfter(start, { limit: 1_000 });
  release();
  await slowWrite;
  // Transactions of other databases on the server hold back xmin too, so the events may become visible later.
  const seen = [...early];
  await eventually('both events', async () => {
    seen.push(...(await on.db.daos.transitions.readAfter(seen.at(-1)?.cursor ?? start, { limit: 1_000 })));
    return [slow, fast].every(({ run_id }) =>
      seen.some(({ entity_id, to_state }) => entity_id === run_id && to_state === 'PAUSED'),
    );
  });
  expect(new Set(seen.map(({ cursor }) => cursor)).size).toBe(seen.length);
});
