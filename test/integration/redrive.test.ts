import { expect, test } from 'vitest';
import { sql } from '../../src/database/database.ts';
import { endAttempts } from '../../src/ledger/attempts.ts';
import { cancelRun } from '../../src/ledger/cancel.ts';
import { redriveRun, redriveTask } from '../../src/ledger/reopen.ts';
import { rollUp } from '../../src/ledger/roll-up.ts';
import { ledgerCase } from '../support/ledger-case.ts';
import { attemptEnd } from '../support/ledger-words.ts';

const on = ledgerCase();
const ORDER = { actor: 'ada', reason: 'the remote is back' };
const failed = { kind: 'failed', failure: 'fatal', reason: 'tool_exit:2', evidence: {} } as const;

/** A run of two tasks, the second waiting for the first, whose first has failed for good. */
async function failedRun() {
  const run = await on.build.run({ tasks_total: 2 });
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

test('a failed task runs again with all its retries, its run and dependants go on, its history stays', async () => {
  const { run, first, second } = await failedRun();
  await on.write((tx) => redriveTask(tx, first.task_id, ORDER));
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

test('a run’s failed tasks go together; a run without any, or a cancelled one, is refused', async () => {
  const { run, first } = await failedRun();
  expect(await on.write((tx) => redriveRun(tx, run.run_id, ORDER))).toEqual([first.task_id]);
  await expect(on.write((tx) => redriveRun(tx, run.run_id, ORDER))).rejects.toMatchObject({ code: 'state.changed' });
  await on.write((tx) => cancelRun(tx, run.run_id, { actor: 'ada' }));
  await expect(on.write((tx) => redriveTask(tx, first.task_id, ORDER))).rejects.toMatchObject({
    code: 'state.changed',
  });
});

test('what still lacks its dependency is refused, and says which', async () => {
  const { first, second } = await failedRun();
  await expect(on.write((tx) => redriveTask(tx, second.task_id, ORDER))).rejects.toMatchObject({
    code: 'state.changed',
    facts: { depends_on: [first.task_id] },
  });
  await expect(on.write((tx) => redriveTask(tx, 'task_none', ORDER))).rejects.toMatchObject({
    code: 'entity.not_found',
  });
});

test('the same failure twice running stops the retries and says so; another one in between does not', async () => {
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
