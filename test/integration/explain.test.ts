import { describe, expect, test } from 'vitest';
import { sql } from '../../src/database/database.ts';
import type { LandingView } from '../../src/domain/landing/view.ts';
import { explain } from '../../src/inspect/explain/explain.ts';
import type { Explained } from '../../src/inspect/explain/explain-context.ts';
import { admitTasks } from '../../src/ledger/attempts/admission.ts';
import { declareTools, tripBreaker } from '../../src/ledger/attempts/breakers.ts';
import { declareRepositories, pauseTarget } from '../../src/ledger/landing/targets.ts';
import { pauseRun } from '../../src/ledger/runs/cancel.ts';
import { ledgerCase } from '../support/ledger-case.ts';
import { toolSettings } from '../support/ledger-words.ts';

const on = ledgerCase();
const why = (id: string): Promise<Explained> => explain({ database: on.db.database, daos: on.db.daos }, id);
const ago = (seconds: number): Date => new Date(Date.now() - 1_000 * seconds);
const ahead = (iso: string | null): number => (iso === null ? Number.NaN : (Date.parse(iso) - Date.now()) / 1_000);
const declare = (given: Parameters<typeof toolSettings>[1] = {}) =>
  on.write((tx) => declareTools(tx, [toolSettings('agent', given)]));

describe('P10: a workstream', () => {
  test('BLOCKED names the workstream before it, RUNNING what its tasks wait for, PENDING what its run does', async () => {
    const run = await on.build.run();
    const first = await on.build.workstream({ run_id: run.run_id, name: 'lint' });
    const { workstream_id } = await on.build.workstream({ run_id: run.run_id, state: 'BLOCKED' });
    await on.db.daos.workstreamDependencies.create({ workstream_id, depends_on_id: first.workstream_id });
    expect(await why(workstream_id)).toMatchObject({
      kind: 'workstream',
      code: 'workstream_dependency',
      facts: { workstreams: [first.workstream_id] },
    });
    await on.build.task({ workstream_id: first.workstream_id });
    expect(await why(first.workstream_id)).toMatchObject({
      code: 'no_worker',
      facts: { run_id: run.run_id, states: { QUEUED: 1 } },
    });
    const early = await on.build.run({ state: 'INITIALIZING' });
    const waiting = await on.build.workstream({ run_id: early.run_id, state: 'PENDING' });
    expect(await why(waiting.workstream_id)).toMatchObject({ state: 'PENDING', code: 'run_initializing' });
    const failed = await on.build.workstream({ state: 'FAILED', reason: 'tasks_failed' });
    expect(await why(failed.workstream_id)).toMatchObject({ code: 'failed', again_at: null });
  });
});

describe('P10: a task', () => {
  test('PENDING: its run is still INITIALIZING', async () => {
    const run = await on.build.run({ state: 'INITIALIZING' });
    const task = await on.build.task({ run_id: run.run_id, state: 'PENDING' });
    expect(await why(task.task_id)).toMatchObject({ code: 'run_initializing', facts: { run_id: run.run_id } });
  });

  test('PENDING: its workstream waits for another', async () => {
    const run = await on.build.run();
    const first = await on.build.workstream({ run_id: run.run_id, name: 'lint' });
    const second = await on.build.workstream({ run_id: run.run_id, state: 'BLOCKED' });
    const { workstream_id } = second;
    await on.db.daos.workstreamDependencies.create({ workstream_id, depends_on_id: first.workstream_id });
    const task = await on.build.task({ workstream_id, state: 'PENDING' });
    expect(await why(task.task_id)).toMatchObject({
      code: 'workstream_dependency',
      sentence: 'waits: the workstream begins after lint.',
    });
  });

  test('BLOCKED: the answer names open dependencies and no others', async () => {
    const open = await on.build.task({ name: 'format', state: 'VALIDATING' });
    const done = await on.build.task({ name: 'done', state: 'COMPLETED', workstream_id: open.workstream_id });
    const task = await on.build.task({ state: 'BLOCKED', open_dependencies: 1, workstream_id: open.workstream_id });
    const edge = { task_id: task.task_id };
    await on.db.daos.taskDependencies.create({ ...edge, depends_on_id: open.task_id });
    await on.db.daos.taskDependencies.create({ ...edge, depends_on_id: done.task_id, satisfied_at: new Date() });
    expect(await why(task.task_id)).toMatchObject({
      code: 'dependency',
      sentence: 'waits: it depends on format (VALIDATING).',
      again_when: 'when all of them are COMPLETED',
    });
  });

  test('QUEUED: its run is paused, with the operator’s reason', async () => {
    const task = await on.build.task();
    await on.write((tx) => pauseRun(tx, task.run_id!, { actor: 'ada', reason: 'code freeze' }));
    expect(await why(task.task_id)).toMatchObject({ code: 'run_paused', facts: { reason: 'code freeze' } });
  });

  test('QUEUED: older runs hold the concurrency key', async () => {
    const key = { concurrency_key: 'nightly', concurrency_max: 1 };
    const older = await on.build.run({ ...key, created_at: ago(9) });
    const task = await on.build.task({ run_id: (await on.build.run(key)).run_id });
    expect(await why(task.task_id)).toMatchObject({
      code: 'run_key',
      facts: { key: 'nightly', max: 1, holders: [older.run_id] },
      again_when: `when ${older.run_id} has ended`,
    });
  });

  test('QUEUED: the budget of the run, the task or the tool’s day is spent', async () => {
    const spent = await on.build.run({ budget_usd: 2, cost_usd: 2.5 });
    expect(await why((await on.build.task({ run_id: spent.run_id })).task_id)).toMatchObject({
      code: 'run_budget',
      sentence: 'waits: its run has reached its budget ($2.50 of $2.00).',
    });
    const poor = await on.build.task({ budget_usd: 1, cost_usd: 1 });
    expect(await why(poor.task_id)).toMatchObject({ code: 'task_budget', facts: { budget_usd: 1 } });
    await declare({ usd_per_day: 5 });
    await on.db.database.query(sql`insert into tool_costs values ('agent', (now() at time zone 'UTC')::date, 6)`);
    const waits = await why((await on.build.task({ tool: 'agent' })).task_id);
    expect(waits).toMatchObject({
      code: 'tool_budget',
      facts: { usd_today: 6 },
      again_when: 'when the day turns (UTC)',
    });
    expect(ahead(waits.again_at)).toBeGreaterThan(0);
    expect(ahead(waits.again_at)).toBeLessThanOrEqual(86_400);
  });

  test('QUEUED: the tool’s breaker is open until a given time, half open for its probe, or tripped by an operator', async () => {
    await declare();
    const task = await on.build.task({ tool: 'agent' });
    const set = (columns: ReturnType<typeof sql>) => on.db.database.query(sql`update circuit_breakers set ${columns}`);
    await set(sql`state = 'OPEN', opened_at = now(), reason = 'consecutive_faults'`);
    const open = await why(task.task_id);
    expect(open).toMatchObject({ code: 'tool_breaker', facts: { state: 'OPEN', reason: 'consecutive_faults' } });
    expect(ahead(open.again_at)).toBeGreaterThan(50);
    const probe = await on.build.runningTask({ tool: 'agent' });
    await set(sql`state = 'HALF_OPEN', probe_task_id = ${probe.task_id}, probe_attempt = 1`);
    expect(await why(task.task_id)).toMatchObject({
      code: 'tool_breaker',
      again_when: `when ${probe.task_id} has ended`,
    });
    await on.write((tx) => tripBreaker(tx, { tool: 'agent', actor: 'ada', reason: 'too dear' }));
    expect(await why(task.task_id)).toMatchObject({
      sentence: 'waits: ada stopped the tool agent (too dear).',
      again_at: null,
      again_when: 'when an operator resets the breaker',
    });
    expect(await why('agent')).toMatchObject({
      kind: 'tool',
      state: 'OPEN',
      code: 'tool_breaker',
      facts: { waiting: 1 },
    });
  });

  test('QUEUED: the tool’s rate, its concurrency or the repository’s cap is reached', async () => {
    await declare({ rate_max: 1, rate_per_seconds: 60 });
    const task = await on.build.task({ tool: 'agent' });
    await on.db.database.query(sql`insert into tool_starts values ('task_x', 1, 'agent', now())`);
    const limited = await why(task.task_id);
    expect(limited).toMatchObject({ code: 'tool_rate', facts: { max: 1, per_seconds: 60 } });
    expect(ahead(limited.again_at)).toBeGreaterThan(50);
    await declare({ concurrency: 1 });
    await on.build.runningTask({ tool: 'agent' });
    expect(await why(task.task_id)).toMatchObject({ code: 'tool_concurrency', facts: { in_flight: 1 } });
    await declare();
    await on.write((tx) => declareRepositories(tx, [{ repository: 'app', concurrency: 1 }]));
    expect(await why(task.task_id)).toMatchObject({ code: 'repository_concurrency', facts: { repository: 'app' } });
  });

  test('QUEUED: no worker serves its pool, it is next, all slots are taken, it is dispatched, or no worker consumes', async () => {
    const task = await on.build.task({ pool: 'gpu', ranked_at: ago(5) });
    expect(await why(task.task_id)).toMatchObject({
      code: 'no_worker',
      sentence: 'waits: no living worker serves the pool gpu.',
    });
    const worker = await on.build.worker({ pools: ['gpu'], task_slots: 1 });
    expect(await why(task.task_id)).toMatchObject({ code: 'next' });
    await on.build.runningTask({ pool: 'gpu', worker_id: worker.worker_id });
    await on.build.task({ pool: 'gpu', ranked_at: ago(60) });
    expect(await why(task.task_id)).toMatchObject({
      code: 'pool_full',
      sentence: 'waits: 1 task of the pool gpu is ranked before it, for 1 slot.',
    });
    await on.db.database.query(sql`delete from tasks where task_id <> ${task.task_id}`);
    await on.write(admitTasks);
    expect(await why(task.task_id)).toMatchObject({ code: 'dispatched' });
    await on.db.database.query(sql`update workers set starving_since = now()`);
    expect(await why(task.task_id)).toMatchObject({ code: 'not_consuming' });
    expect(await why(worker.worker_id)).toMatchObject({ kind: 'worker', code: 'not_consuming' });
  });

  test('QUEUED with a queue timeout: the answer says when it expires', async () => {
    const expires = new Date(Date.now() + 60_000);
    const task = await on.build.task({ queue_timeout_seconds: 60, queue_expires_at: expires });
    expect(await why(task.task_id)).toMatchObject({ facts: { queue_expires_at: expires.toISOString() } });
  });

  test('RETRYING: the answer says until when and after which failure, or that a limited tool set the time', async () => {
    const available_at = new Date(Date.now() + 30_000);
    const retrying = { state: 'RETRYING', available_at, retry_count: 1, attempt: 1 } as const;
    const failed = await on.build.task({ ...retrying, reason: 'tool_exit:1' });
    expect(await why(failed.task_id)).toMatchObject({
      code: 'retry_delay',
      facts: { reason: 'tool_exit:1', retry_count: 1 },
      again_at: available_at.toISOString(),
    });
    const limited = await on.build.task({ ...retrying, reason: 'tool_limited' });
    expect(await why(limited.task_id)).toMatchObject({ code: 'tool_limited', again_at: available_at.toISOString() });
  });

  test('RUNNING: on a worker that lives or is silent', async () => {
    const task = await on.build.runningTask({ lease_expires_at: new Date(Date.now() + 4_000) });
    expect(await why(task.task_id)).toMatchObject({
      code: 'running',
      facts: { attempt: 1, worker_id: task.worker_id },
    });
    await on.db.database.query(sql`update workers set state = 'UNHEALTHY'`);
    const silent = await why(task.task_id);
    expect(silent).toMatchObject({ code: 'worker_silent', facts: { worker_id: task.worker_id } });
    expect(ahead(silent.again_at)).toBeGreaterThan(0);
    expect(await why(task.worker_id!)).toMatchObject({ code: 'worker_silent', state: 'UNHEALTHY' });
  });

  test('FAILED: the answer says that an operator may retry it', async () => {
    const task = await on.build.task({ state: 'FAILED', reason: 'same_failure_twice', attempt: 2 });
    expect(await why(task.task_id)).toMatchObject({ code: 'failed', again_when: 'when an operator retries it' });
  });
});

describe('P10: a patch and its gates', () => {
  const view = (line: LandingView['line'], red_tip: LandingView['red_tip'] = null) =>
    on.db.daos.targets.update('app@main', { landing: { slots: 2, prove: 'every_commit', red_tip, line } });
  const at = (patch_id: string, place: LandingView['line'][number]['place'], behind: string[] = []) => ({
    patch_id,
    place,
    behind,
    tree_id: `tree of ${patch_id}`,
  });

  test('STAGED: the answer gives its place in the landing queue, for its task too', async () => {
    const patch = await on.build.patch();
    await view([]);
    expect(await why(patch.patch_id)).toMatchObject({
      code: 'landing_queue',
      sentence: 'waits: the coordinator has not seen it yet.',
    });
    for (const [place, code] of [
      ['queued', 'landing_queue'],
      ['proven', 'proven'],
      ['doubted', 'doubted'],
      ['not_to_land', 'proof_only'],
      ['testing', 'gate_requested'],
    ] as const) {
      await view([at(patch.patch_id, place)]);
      expect(await why(patch.patch_id)).toMatchObject({ code });
    }
    await view([at(patch.patch_id, 'behind', ['patch_other'])]);
    expect(await why(patch.task_id)).toMatchObject({
      kind: 'task',
      code: 'behind',
      facts: { patch_id: patch.patch_id, behind: ['patch_other'] },
    });
  });

  test('STAGED: the target’s tip is red, its policy is invalid, or it is paused', async () => {
    const patch = await on.build.patch();
    await view([at(patch.patch_id, 'queued')], { gate: 'unit', gate_id: 'gate_x', outcome: 'red' });
    expect(await why(patch.patch_id)).toMatchObject({ code: 'red_tip', facts: { gate: 'unit' } });
    await on.db.daos.targets.update('app@main', { policy_error: 'gates: is not a list' });
    expect(await why(patch.patch_id)).toMatchObject({ code: 'policy_invalid' });
    await on.write((tx) => pauseTarget(tx, { targetId: 'app@main', actor: 'ada', reason: 'the push was refused' }));
    expect(await why(patch.patch_id)).toMatchObject({ code: 'target_paused', facts: { paused_by: 'ada' } });
    expect(await why('app@main')).toMatchObject({ kind: 'target', state: 'paused', facts: { staged: 1 } });
    await on.db.database.query(sql`update targets set paused_at = null, policy_error = null, landing = null`);
    expect(await why('app@main')).toMatchObject({ code: 'target_landing' });
  });

  test('under test: no worker offers gate slots, all are taken, the gate is dispatched, or it runs', async () => {
    const patch = await on.build.patch();
    await view([at(patch.patch_id, 'testing')]);
    const gate = await on.build.gate({
      state: 'PENDING',
      target_id: 'app@main',
      tree_id: `tree of ${patch.patch_id}`,
      patch_ids: [patch.patch_id],
      task_id: patch.task_id,
    });
    expect(await why(patch.patch_id)).toMatchObject({ code: 'no_gate_worker', facts: { gate: 'unit' } });
    const worker = await on.build.worker({ gate_slots: 1 });
    expect(await why(gate.gate_id)).toMatchObject({ kind: 'gate', code: 'gate_slots', facts: { slots: 1 } });
    await on.db.database.query(sql`update test_gates set dispatched_at = now()`);
    expect(await why(patch.patch_id)).toMatchObject({ code: 'gate_dispatched' });
    await on.db.database.query(sql`update test_gates set state = 'RUNNING', worker_id = ${worker.worker_id}`);
    expect(await why(patch.patch_id)).toMatchObject({
      code: 'gate_running',
      sentence: 'waits: unit runs on its candidate.',
    });
  });

  test('PENDING, APPLIED, QUARANTINED or BLOCKED: the answer says what comes next', async () => {
    const pending = await on.build.patch({ state: 'PENDING', staged_at: null });
    expect(await why(pending.patch_id)).toMatchObject({ code: 'not_built' });
    expect(await why((await on.build.patch({ state: 'APPLIED' })).patch_id)).toMatchObject({ code: 'to_verify' });
    const held = await on.build.patch({ state: 'QUARANTINED', reason: 'protected_path', commit_id: 'c' });
    expect(await why(held.patch_id)).toMatchObject({ again_when: 'when an operator approves or drops it' });
    expect(await why((await on.build.patch({ state: 'BLOCKED', reason: 'conflict' })).patch_id)).toMatchObject({
      code: 'patch_blocked',
    });
  });
});

describe('P10: a run, a worker, a tool', () => {
  test('a run waits for what most of its tasks wait for; while one of them runs, the run is running', async () => {
    const run = await on.build.run({ tasks_total: 3 });
    await on.build.task({ run_id: run.run_id, pool: 'gpu' });
    await on.build.task({ run_id: run.run_id, pool: 'gpu' });
    await on.build.task({ run_id: run.run_id, state: 'RETRYING', available_at: new Date(Date.now() + 9_000) });
    const waits = await why(run.run_id);
    expect(waits).toMatchObject({ code: 'no_worker', facts: { states: { QUEUED: 2, RETRYING: 1 } } });
    expect((waits.facts.waits as { code: string; tasks: number }[]).map(({ code, tasks }) => [code, tasks])).toEqual([
      ['no_worker', 2],
      ['retry_delay', 1],
    ]);
    expect(ahead(waits.again_at)).toBeGreaterThan(0);
    await on.build.runningTask({ run_id: run.run_id });
    expect(await why(run.run_id)).toMatchObject({ code: 'running' });
  });

  test('an INITIALIZING run reads its target, or waits for the runs that it supersedes', async () => {
    const run = await on.build.run({ state: 'INITIALIZING' });
    expect(await why(run.run_id)).toMatchObject({ code: 'run_initializing' });
    const key = { concurrency_key: 'k', concurrency_max: 1 };
    const older = await on.build.run(key);
    const newer = await on.build.run({ ...key, state: 'INITIALIZING', supersede: true });
    expect(await why(newer.run_id)).toMatchObject({ code: 'run_supersedes', facts: { runs: [older.run_id] } });
  });

  test('a worker is idle, draining or dead; a tool is ready, or its next task is the probe', async () => {
    const worker = await on.build.worker();
    expect(await why(worker.worker_id)).toMatchObject({ code: 'idle' });
    await on.db.database.query(sql`update workers set draining = true`);
    expect(await why(worker.worker_id)).toMatchObject({ code: 'draining' });
    await on.db.database.query(sql`update workers set state = 'DEAD', reason = 'lease_expired'`);
    expect(await why(worker.worker_id)).toMatchObject({ code: 'dead' });
    await declare();
    expect(await why('agent')).toMatchObject({ code: 'tool_ready' });
    await on.db.database.query(sql`update circuit_breakers set state = 'OPEN', opened_at = now() - interval '1 hour'`);
    expect(await why('agent')).toMatchObject({ code: 'tool_probe' });
  });

  test('an unknown id is entity.not_found', async () => {
    for (const id of ['task_00000000000000000000000000', 'nothing', 'brk_00000000000000000000000000']) {
      await expect(why(id)).rejects.toMatchObject({ code: 'entity.not_found' });
    }
  });
});
