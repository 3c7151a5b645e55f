import { expect, test } from 'vitest';
import { sql } from '../../src/database/database.ts';
import type { RunRow } from '../../src/entities/run.ts';
import { readAdmissionState } from '../../src/ledger/attempts/admission-state.ts';
import { endAttempts } from '../../src/ledger/attempts/attempts.ts';
import { recordPatch } from '../../src/ledger/attempts/record-patch.ts';
import { cancelRun, pauseRun, resumeRun } from '../../src/ledger/runs/cancel.ts';
import { retryRun, retryTask } from '../../src/ledger/runs/retry.ts';
import { rollUp } from '../../src/ledger/runs/roll-up.ts';
import { refuseRun } from '../../src/ledger/runs/start-run.ts';
import { sleep } from '../../src/lib/clock.ts';
import { ledgerCase } from '../support/ledger-case.ts';
import { attemptEnd, newPatch } from '../support/ledger-words.ts';

const on = ledgerCase();
const ORDER = { actor: 'ada', reason: 'the remote is back' };
const failed = { kind: 'failed', failure: 'fatal', reason: 'tool_exit:2', evidence: {} } as const;

/** Makes a FAILED run of two tasks: the first failed for good, and the second depends on it. */
async function failedRun(given: Partial<RunRow> = {}) {
  const run = await on.build.run({ tasks_total: 2, ...given });
  const workstream = await on.build.workstream({ run_id: run.run_id, tasks_total: 2 });
  const { workstream_id } = workstream;
  const first = await on.build.runningTask({ workstream_id, retry_count: 2, max_retries: 3, interruptions: 1 });
  const second = await on.build.task({ workstream_id, state: 'BLOCKED', open_dependencies: 1 });
  await on.db.daos.taskDependencies.create({ task_id: second.task_id, depends_on_id: first.task_id });
  await on.write((tx) => endAttempts(tx, [attemptEnd(first.task_id, { ending: failed })]));
  for (let i = 0; i < 4; i += 1) await on.write(rollUp);
  expect((await on.db.daos.runs.get(run.run_id)).state).toBe('FAILED');
  return { run, first, second };
}

test('a retried FAILED task is QUEUED with all its retries, its run and dependants are reopened, and its history stays', async () => {
  const { run, first, second } = await failedRun();
  await on.write((tx) => retryTask(tx, first.task_id, ORDER));
  expect(await on.db.daos.tasks.get(first.task_id)).toMatchObject({
    state: 'QUEUED',
    retry_count: 0,
    interruptions: 0,
    attempt: 1,
    completed_at: null,
    outcome: null,
  });
  expect((await on.db.daos.tasks.get(second.task_id)).state).toBe('BLOCKED');
  expect(await on.db.daos.runs.get(run.run_id)).toMatchObject({ state: 'RUNNING', tasks_ended: 0, outcome: null });
  const history = await on.db.daos.transitions.findByEntity(first.task_id);
  expect(history.map(({ to_state, forced, actor }) => [to_state, forced, actor])).toEqual([
    ['FAILED', false, 'worker'],
    ['QUEUED', true, 'ada'],
  ]);
});

test('a retry waits for a roll-up that is ending the workstream, so that its task is not left in an ended run', async () => {
  const run = await on.build.run({ tasks_total: 2 });
  const { workstream_id } = await on.build.workstream({ run_id: run.run_id, tasks_total: 2 });
  const first = await on.build.runningTask({ workstream_id });
  const second = await on.build.runningTask({ workstream_id });
  await on.write((tx) => endAttempts(tx, [attemptEnd(first.task_id, { ending: failed })]));
  await on.write(rollUp);
  await on.write((tx) => endAttempts(tx, [attemptEnd(second.task_id)]));
  let redriven: Promise<void> | undefined;
  await on.write(async (tx) => {
    await rollUp(tx);
    redriven = on.write((other) => retryTask(other, first.task_id, ORDER));
    await sleep(200);
  });
  await redriven;
  for (let i = 0; i < 3; i += 1) await on.write(rollUp);
  expect(await on.db.daos.workstreams.get(workstream_id)).toMatchObject({ state: 'RUNNING', tasks_ended: 1 });
  expect((await on.db.daos.runs.get(run.run_id)).state).toBe('RUNNING');
});

test('a roll-up that read the counts before a retry does not end the workstream after it', async () => {
  const run = await on.build.run();
  const { workstream_id } = await on.build.workstream({ run_id: run.run_id });
  const { task_id } = await on.build.runningTask({ workstream_id });
  // All tasks are counted, but the workstream ends only after the resume.
  await on.write((tx) => pauseRun(tx, run.run_id, { actor: 'ada' }));
  await on.write((tx) => endAttempts(tx, [attemptEnd(task_id, { ending: failed })]));
  await on.write(rollUp);
  await on.write((tx) => resumeRun(tx, run.run_id, { actor: 'ada' }));
  let rolledUp: Promise<unknown> | undefined;
  await on.write(async (tx) => {
    await retryTask(tx, task_id, ORDER);
    rolledUp = on.write(rollUp);
    await sleep(200);
  });
  await rolledUp;
  expect(await on.db.daos.workstreams.get(workstream_id)).toMatchObject({ state: 'RUNNING', tasks_ended: 0 });
  expect((await on.db.daos.runs.get(run.run_id)).state).toBe('RUNNING');
});

test('a retry of a run retries its FAILED tasks; a run without any, or a cancelled one, is refused', async () => {
  const { run, first } = await failedRun();
  expect(await on.write((tx) => retryRun(tx, run.run_id, ORDER))).toEqual([first.task_id]);
  await expect(on.write((tx) => retryRun(tx, run.run_id, ORDER))).rejects.toMatchObject({ code: 'state.changed' });
  await on.write((tx) => cancelRun(tx, run.run_id, { actor: 'ada' }));
  await expect(on.write((tx) => retryTask(tx, first.task_id, ORDER))).rejects.toMatchObject({
    code: 'state.changed',
  });
});

test('dependants of dependants wait again together, except those that need another failed task', async () => {
  const run = await on.build.run({ tasks_total: 5 });
  const { workstream_id } = await on.build.workstream({ run_id: run.run_id, tasks_total: 5 });
  const first = await on.build.runningTask({ workstream_id });
  const other = await on.build.runningTask({ workstream_id });
  const dependantOf = async (...needed: { task_id: string }[]) => {
    const open_dependencies = needed.length;
    const task = await on.build.task({ workstream_id, state: 'BLOCKED', open_dependencies });
    for (const { task_id } of needed) {
      await on.db.daos.taskDependencies.create({ task_id: task.task_id, depends_on_id: task_id });
    }
    return task;
  };
  const second = await dependantOf(first);
  const third = await dependantOf(second, first);
  const last = await dependantOf(third, other);
  const states = async () => {
    const tasks = await Promise.all([second, third, last].map(({ task_id }) => on.db.daos.tasks.get(task_id)));
    return tasks.map(({ state }) => state);
  };
  const ends = [first, other].map(({ task_id }) => attemptEnd(task_id, { ending: failed }));
  await on.write((tx) => endAttempts(tx, ends));
  for (let i = 0; i < 4; i += 1) await on.write(rollUp);
  expect(await states()).toEqual(['CANCELLED', 'CANCELLED', 'CANCELLED']);
  await on.write((tx) => retryTask(tx, first.task_id, ORDER));
  expect(await states()).toEqual(['BLOCKED', 'BLOCKED', 'CANCELLED']);
  expect(await on.db.daos.runs.get(run.run_id)).toMatchObject({ state: 'RUNNING', tasks_ended: 2 });
  expect(await on.write((tx) => retryRun(tx, run.run_id, ORDER))).toEqual([other.task_id]);
  expect(await states()).toEqual(['BLOCKED', 'BLOCKED', 'BLOCKED']);
  expect(await on.db.daos.runs.get(run.run_id)).toMatchObject({ state: 'RUNNING', tasks_ended: 0 });
});

test('a retry of a task with a failed dependency is refused and names the dependency', async () => {
  const { first, second } = await failedRun();
  await expect(on.write((tx) => retryTask(tx, second.task_id, ORDER))).rejects.toMatchObject({
    code: 'state.changed',
    facts: { depends_on: [first.task_id] },
  });
  await expect(on.write((tx) => retryTask(tx, 'task_none', ORDER))).rejects.toMatchObject({
    code: 'entity.not_found',
  });
});

test('the same failure twice in a row ends the retries with same_failure_twice, unless another one comes in between', async () => {
  const task = await on.build.runningTask({ max_retries: 9 });
  let attempt = 1;
  const fail = async (words: string) => {
    const ending = {
      kind: 'failed',
      failure: 'retryable',
      reason: 'tool_exit:3',
      evidence: { output_tail: words },
    } as const;
    await on.write((tx) => endAttempts(tx, [attemptEnd(task.task_id, { attempt, ending })]));
    const after = await on.db.daos.tasks.get(task.task_id);
    if (after.state === 'RETRYING') {
      attempt += 1;
      const { worker_id } = await on.build.worker();
      await on.db.database.query(sql`
        update tasks set state = 'RUNNING', attempt = ${attempt}, worker_id = ${worker_id} where task_id = ${task.task_id}`);
    }
    return after;
  };
  expect(await fail('no such module: left-pad at line 17')).toMatchObject({ state: 'RETRYING' });
  expect(await fail('out of memory')).toMatchObject({ state: 'RETRYING' });
  expect(await fail('no such module: left-pad at line 17')).toMatchObject({ state: 'RETRYING' });
  expect(await fail('no such module: left-pad at line 31')).toMatchObject({
    state: 'FAILED',
    reason: 'same_failure_twice',
    evidence: { last_reason: 'tool_exit:3' },
  });
});

test('an ABANDONED workstream with two failed dependencies is BLOCKED again only after both are retried', async () => {
  const run = await on.build.run({ tasks_total: 3, workstreams_total: 3 });
  const workstream = (state: 'RUNNING' | 'BLOCKED', open_dependencies: number) =>
    on.build.workstream({ run_id: run.run_id, state, open_dependencies });
  const [a, d, both] = [await workstream('RUNNING', 0), await workstream('RUNNING', 0), await workstream('BLOCKED', 2)];
  const first = await on.build.runningTask({ workstream_id: a.workstream_id });
  const second = await on.build.runningTask({ workstream_id: d.workstream_id });
  const waiting = await on.build.task({ workstream_id: both.workstream_id, state: 'PENDING' });
  for (const { workstream_id } of [a, d]) {
    await on.db.daos.workstreamDependencies.create({ workstream_id: both.workstream_id, depends_on_id: workstream_id });
  }
  const ends = [first, second].map(({ task_id }) => attemptEnd(task_id, { ending: failed }));
  await on.write((tx) => endAttempts(tx, ends));
  for (let i = 0; i < 5; i += 1) await on.write(rollUp);
  expect((await on.db.daos.workstreams.get(both.workstream_id)).state).toBe('ABANDONED');
  const taskState = async () => (await on.db.daos.tasks.get(waiting.task_id)).state;
  await on.write((tx) => retryTask(tx, first.task_id, ORDER));
  expect([(await on.db.daos.workstreams.get(both.workstream_id)).state, await taskState()]).toEqual([
    'ABANDONED',
    'CANCELLED',
  ]);
  await on.write((tx) => retryTask(tx, second.task_id, ORDER));
  expect([(await on.db.daos.workstreams.get(both.workstream_id)).state, await taskState()]).toEqual([
    'BLOCKED',
    'PENDING',
  ]);
});

test('a task of a run that never started cannot be retried', async () => {
  const run = await on.build.run({ state: 'INITIALIZING' });
  const task = await on.build.task({ run_id: run.run_id, state: 'PENDING' });
  await on.write((tx) => refuseRun(tx, { runId: run.run_id, reason: 'branch.missing', detail: {} }));
  await expect(on.write((tx) => retryTask(tx, task.task_id, ORDER))).rejects.toMatchObject({ code: 'state.changed' });
  expect((await on.db.daos.tasks.get(task.task_id)).state).toBe('CANCELLED');
});

test('the new patch of a retried rollback names the patch that it reverts', async () => {
  const landed = await on.build.patch({ state: 'VERIFIED' });
  const task = await on.build.runningTask({ tool: 'patch', attempt: 2 });
  await on.build.patch({
    task_id: task.task_id,
    state: 'BLOCKED',
    reason: 'gate_red',
    reverts_patch_id: landed.patch_id,
  });
  await on.write((tx) => recordPatch(tx, { taskId: task.task_id, attempt: 2, patch: newPatch() }));
  expect(
    (await on.db.daos.patches.findByTask(task.task_id)).map(({ state, reverts_patch_id }) => [state, reverts_patch_id]),
  ).toEqual([
    ['SUPERSEDED', landed.patch_id],
    ['STAGED', landed.patch_id],
  ]);
});

test('a retried run waits for its concurrency key behind a run that holds it by now', async () => {
  const { run, first } = await failedRun({ concurrency_key: 'deploy', concurrency_max: 1 });
  const later = await on.build.run({ concurrency_key: 'deploy', concurrency_max: 1 });
  await on.write((tx) => retryTask(tx, first.task_id, ORDER));
  const { runs } = await readAdmissionState(on.db.database);
  expect(runs).toMatchObject([{ code: 'run_key', run_id: run.run_id, holders: [later.run_id] }]);
});

test('a repeated failure of a remote does not end the retries of a task', async () => {
  const task = await on.build.runningTask({ max_retries: 9 });
  const ending = {
    kind: 'failed',
    failure: 'retryable',
    reason: 'repository.unreadable',
    evidence: { message: 'away' },
  } as const;
  for (const attempt of [1, 2, 3]) {
    const { worker_id } = await on.build.worker();
    await on.db.database.query(sql`
      update tasks set state = 'RUNNING', attempt = ${attempt}, worker_id = ${worker_id} where task_id = ${task.task_id}`);
    await on.write((tx) => endAttempts(tx, [attemptEnd(task.task_id, { attempt, exitCode: null, ending })]));
    expect((await on.db.daos.tasks.get(task.task_id)).state).toBe('RETRYING');
  }
});
