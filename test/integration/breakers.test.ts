import { describe, expect, test } from 'vitest';
import { sql } from '../../src/database/database.ts';
import { admitTasks, nameProbes } from '../../src/ledger/attempts/admission.ts';
import { readAdmissionState } from '../../src/ledger/attempts/admission-state.ts';
import { declareTools, recordFacts, resetBreaker, tripBreaker } from '../../src/ledger/attempts/breakers.ts';
import { claimTasks } from '../../src/ledger/attempts/claims.ts';
import { forgetDispatches, suspectLostDispatches } from '../../src/ledger/fleet/repair.ts';
import { cancelTask } from '../../src/ledger/runs/cancel.ts';
import { ledgerCase } from '../support/ledger-case.ts';
import { claimOf, toolSettings } from '../support/ledger-words.ts';

const on = ledgerCase();

describe('breakers', () => {
  const declare = () => on.write((tx) => declareTools(tx, [toolSettings('agent')]));
  const row = async () => (await on.db.daos.breakers.getByTool('agent'))!;
  const fact = (taskId: string, attempt: number, kind: 'success' | 'fault' | 'neutral') =>
    on.write((tx) => recordFacts(tx, [{ tool: 'agent', taskId, attempt, fact: kind }]));
  const coolDown = () => on.db.database.query(sql`update circuit_breakers set opened_at = now() - interval '1 hour'`);

  test('consecutive faults open a breaker; a success in between resets the count', async () => {
    await declare();
    await fact('t', 1, 'fault');
    await fact('t', 2, 'success');
    await fact('t', 3, 'fault');
    expect(await row()).toMatchObject({ state: 'CLOSED', failure_count: 1 });
    await fact('t', 4, 'fault');
    expect(await row()).toMatchObject({ state: 'OPEN', reason: 'consecutive_faults' });
  });

  test('P10: an open breaker admits no task, and a dispatched task is requeued at its claim', async () => {
    await declare();
    await on.build.worker({ task_slots: 10 });
    const { worker_id } = await on.build.worker();
    const task = await on.build.dispatchedTask({ tool: 'agent' });
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    expect(await on.write((tx) => claimTasks(tx, [claimOf(task.task_id, worker_id)]))).toEqual([undefined]);
    expect(await on.db.daos.tasks.get(task.task_id)).toMatchObject({
      state: 'QUEUED',
      dispatched_at: null,
      retry_count: 0,
    });
    expect(await on.write((tx) => admitTasks(tx))).toEqual([]);
  });

  test('after the cooldown exactly one probe is admitted, and only its result counts', async () => {
    await declare();
    await on.build.worker({ task_slots: 10 });
    const { worker_id } = await on.build.worker();
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    for (let i = 0; i < 3; i += 1) await on.build.task({ tool: 'agent' });
    await coolDown();
    const [probe, ...others] = await on.write((tx) => admitTasks(tx));
    expect(others).toEqual([]);
    expect(await row()).toMatchObject({ state: 'HALF_OPEN', probe_task_id: probe!.id, probe_attempt: 1 });
    // A late success from before the trip changes nothing.
    await fact('an old task', 1, 'success');
    expect((await row()).state).toBe('HALF_OPEN');
    expect((await on.write((tx) => claimTasks(tx, [claimOf(probe!.id, worker_id)])))[0]).toMatchObject({
      breaker_state: 'HALF_OPEN',
    });
    await fact(probe!.id, 1, 'success');
    expect(await row()).toMatchObject({ state: 'CLOSED', failure_count: 0, probe_task_id: null });
  });

  test('a probe that faults opens the breaker again; after a neutral probe another task becomes the probe', async () => {
    await declare();
    await on.build.worker({ task_slots: 10 });
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    await on.build.task({ tool: 'agent' });
    await on.build.task({ tool: 'agent' });
    await coolDown();
    const [first] = await on.write((tx) => admitTasks(tx));
    await fact(first!.id, 1, 'neutral');
    expect(await row()).toMatchObject({ state: 'HALF_OPEN', probe_task_id: null });
    const [second] = await on.write((tx) => admitTasks(tx));
    expect(second!.id).not.toBe(first!.id);
    await fact(second!.id, 1, 'fault');
    expect(await row()).toMatchObject({ state: 'OPEN', reason: 'probe_failed' });
  });

  test('a probe whose message is lost, or that is cancelled, is replaced by another', async () => {
    await declare();
    await on.build.worker({ task_slots: 10 });
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    const tasks = [
      await on.build.task({ tool: 'agent' }),
      await on.build.task({ tool: 'agent' }),
      await on.build.task({ tool: 'agent' }),
    ];
    await coolDown();
    const [lost] = await on.write((tx) => admitTasks(tx));
    expect(await on.write((tx) => admitTasks(tx))).toEqual([]);
    await on.db.database.query(
      sql`update tasks set dispatched_at = now() - interval '1 hour' where task_id = ${lost!.id}`,
    );
    await on.write(async (tx) => forgetDispatches(tx, await suspectLostDispatches(tx, 5_000)));
    const [again] = await on.write((tx) => admitTasks(tx));
    expect(again).toMatchObject({ id: lost!.id, dispatch: 2 });
    await on.write((tx) => cancelTask(tx, again!.id, { actor: 'ada' }));
    const [next] = await on.write((tx) => admitTasks(tx));
    expect(tasks.map(({ task_id }) => task_id)).toContain(next!.id);
    expect(await row()).toMatchObject({ state: 'HALF_OPEN', probe_task_id: next!.id });
  });

  test('an operator who trips a breaker while a probe is being named wins', async () => {
    await declare();
    await on.build.worker();
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    await coolDown();
    await on.build.task({ tool: 'agent' });
    let tripped: Promise<void> | undefined;
    await on.write(async (tx) => {
      // Admission reads the breaker, an operator trips it, and only then does admission name a probe.
      const seen = await readAdmissionState(tx);
      expect(seen.tools[0]).toMatchObject({ admits: 'probe' });
      tripped = on.write((other) => tripBreaker(other, { tool: 'agent', actor: 'ada', reason: 'it is broken' }));
      await tripped;
      await nameProbes(tx, seen.tools, [{ id: 'task_1', dispatch: 1, pool: 'default', name: 'agent' }]);
    });
    expect(await row()).toMatchObject({ state: 'OPEN', tripped_by: 'ada', probe_task_id: null });
  });

  test('a restart keeps the state of a breaker and applies new settings', async () => {
    await declare();
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    await on.write((tx) => declareTools(tx, [toolSettings('agent', { failure_threshold: 9, cooldown_seconds: 5 })]));
    expect(await row()).toMatchObject({ state: 'OPEN', failure_threshold: 9, cooldown_seconds: 5 });
  });

  test('a late result from before a breaker opened, or from before it closed, changes nothing', async () => {
    await declare();
    await on.build.worker({ task_slots: 10 });
    const { worker_id } = await on.build.worker();
    const [old, older] = [await on.build.runningTask({ tool: 'agent' }), await on.build.runningTask({ tool: 'agent' })];
    await on.db.database.query(sql`update tasks set started_at = now() - interval '1 minute' where state = 'RUNNING'`);
    await fact('t', 1, 'fault');
    await fact('t', 2, 'fault');
    await fact(old.task_id, 1, 'success');
    expect((await row()).state).toBe('OPEN');
    await on.build.task({ tool: 'agent' });
    await coolDown();
    const [probe] = await on.write(admitTasks);
    await on.write((tx) => claimTasks(tx, [claimOf(probe!.id, worker_id)]));
    await fact(probe!.id, 1, 'success');
    await fact(old.task_id, 1, 'fault');
    await fact(older.task_id, 1, 'fault');
    expect(await row()).toMatchObject({ state: 'CLOSED', failure_count: 0 });
  });

  test('a breaker tripped by an operator stays open past its cooldown until an operator resets it; both orders are recorded', async () => {
    await declare();
    await on.build.worker({ task_slots: 10 });
    await on.build.task({ tool: 'agent' });
    await on.write((tx) => tripBreaker(tx, { tool: 'agent', actor: 'ada', reason: 'it burns money' }));
    await coolDown();
    expect(await on.write(admitTasks)).toEqual([]);
    expect(await row()).toMatchObject({ state: 'OPEN', tripped_by: 'ada', reason: 'it burns money' });
    await on.write((tx) => resetBreaker(tx, { tool: 'agent', actor: 'bob', reason: 'mended' }));
    expect(await row()).toMatchObject({ state: 'CLOSED', tripped_by: null, failure_count: 0 });
    expect(await on.write(admitTasks)).toHaveLength(1);
    const notes = await on.db.daos.transitions.findByEntity((await row()).breaker_id);
    expect(notes.map(({ to_state, actor, forced }) => [to_state, actor, forced])).toEqual([
      ['CLOSED', 'breaker', false],
      ['OPEN', 'ada', true],
      ['CLOSED', 'bob', true],
    ]);
    await expect(
      on.write((tx) => tripBreaker(tx, { tool: 'nobody', actor: 'ada', reason: 'x' })),
    ).rejects.toMatchObject({ code: 'entity.not_found' });
  });
});
