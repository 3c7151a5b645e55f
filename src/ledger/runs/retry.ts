import { SluiceError } from '../../contract/errors.ts';
import { type Order, signed } from '../../contract/order.ts';
import { selectIds, sql, type Tx } from '../../database/database.ts';
import { transition } from '../transition.ts';

/**
 * Moves the task of a patch back to VALIDATING by order of an operator, whether it failed or is about to run again.
 * Reopens its run and workstream, and the dependants that were cancelled because of it. Throws `state.changed` for a
 * task that is COMPLETED or CANCELLED.
 */
export async function reopenForPatch(tx: Tx, taskId: string, order: Order): Promise<void> {
  const [task] = await tx.query<{ state: string }>(sql`select state from tasks where task_id = ${taskId} for update`);
  if (task?.state === 'VALIDATING') return;
  // Ends a pending or running new attempt; the fence then refuses its writes.
  await transition(tx, {
    kind: 'task',
    from: ['RETRYING', 'QUEUED', 'RUNNING'],
    to: 'FAILED',
    ids: [taskId],
    reason: 'patch_taken_up_again',
    actor: signed(order).actor,
  });
  const [reopened] = await transition(tx, {
    kind: 'task',
    from: ['FAILED'],
    to: 'VALIDATING',
    ids: [taskId],
    ...signed(order),
    forced: true,
  });
  if (reopened === undefined) {
    throw new SluiceError(
      'state.changed',
      `task ${taskId} of the patch is ${task?.state ?? 'gone'}, so it cannot be reopened`,
      {
        facts: { task_id: taskId, state: task?.state },
      },
    );
  }
  await reopenAbove(tx, taskId, order);
  await uncount(tx, [taskId]);
  await waitAgain(tx, taskId, order);
}

/**
 * Moves a task FAILED or CANCELLED→QUEUED by order of an operator, with all its retries and its history kept. Reopens
 * its run, workstream and dependants. Throws `state.changed` while one of its own dependencies is not satisfied.
 */
export async function retryTask(tx: Tx, taskId: string, order: Order): Promise<void> {
  const [task] = await tx.query<{ state: string; name: string; workstream_waits: boolean }>(sql`
    select t.state, t.name, w.open_dependencies > 0 as workstream_waits
    from tasks t join workstreams w on w.workstream_id = t.workstream_id
    where t.task_id = ${taskId} for update of t`);
  if (task === undefined) throw new SluiceError('entity.not_found', `there is no task ${taskId}`);
  if (task.state !== 'FAILED' && task.state !== 'CANCELLED') {
    throw new SluiceError('state.changed', `task ${taskId} is ${task.state}, not FAILED or CANCELLED`, {
      facts: { state: task.state },
    });
  }
  const lacking = await tx.query<{ depends_on_id: string }>(sql`
    select depends_on_id from task_dependencies where task_id = ${taskId} and satisfied_at is null order by 1`);
  if (lacking.length > 0 || task.workstream_waits) {
    const what = lacking[0]?.depends_on_id ?? 'another workstream';
    throw new SluiceError(
      'state.changed',
      `task ${taskId} depends on ${what}, which has not completed: retry that first`,
      {
        facts: { depends_on: lacking.map(({ depends_on_id }) => depends_on_id) },
      },
    );
  }
  await transition(tx, {
    kind: 'task',
    from: ['FAILED', 'CANCELLED'],
    to: 'QUEUED',
    ids: [taskId],
    ...signed(order),
    forced: true,
    set: sql`, retry_count = 0, interruptions = 0, failure_fingerprint = null`,
  });
  await reopenAbove(tx, taskId, order);
  await uncount(tx, [taskId]);
  await waitAgain(tx, taskId, order);
}

/** Retries every FAILED task of a run, oldest first. Throws `state.changed` when there is none. */
export async function retryRun(tx: Tx, runId: string, order: Order): Promise<string[]> {
  const failed = await selectIds(
    tx,
    sql`select task_id as id from tasks where run_id = ${runId} and state = 'FAILED' order by task_id`,
  );
  if (failed.length === 0) throw new SluiceError('state.changed', `run ${runId} has no FAILED task to retry`);
  for (const taskId of failed) await retryTask(tx, taskId, order);
  return failed;
}

/**
 * Reopens the workstream and the run of a task if they have ended. Locks both before it reads them, in the order of the
 * roll-up, because the roll-up may be ending them at the same time.
 */
async function reopenAbove(tx: Tx, taskId: string, order: Order): Promise<void> {
  const [workstream] = await tx.query<{ workstream_id: string; run_id: string }>(sql`
    select w.workstream_id, w.run_id from tasks t join workstreams w on w.workstream_id = t.workstream_id
    where t.task_id = ${taskId} for update of w`);
  const { workstream_id: workstreamId, run_id: runId } = workstream!;
  const [run] = await tx.query<{ state: string; reason: string | null; started: boolean }>(sql`
    select state, reason, started_at is not null as started from runs where run_id = ${runId} for update`);
  const { state, reason: endedBy, started } = run!;
  if (state === 'COMPLETED' || endedBy === 'cancelled') {
    const how = state === 'COMPLETED' ? 'COMPLETED' : 'cancelled';
    throw new SluiceError('state.changed', `run ${runId} is ${how}: submit the change as a new run`, {
      facts: { run_id: runId },
    });
  }
  if (!started) {
    throw new SluiceError('state.changed', `run ${runId} is ${state} and never started: submit it as a new run`, {
      facts: { run_id: runId, state },
    });
  }
  await uncountWorkstreams(tx, [workstreamId]);
  await transition(tx, {
    kind: 'workstream',
    from: ['FAILED', 'CANCELLED', 'ABANDONED'],
    to: 'RUNNING',
    ids: [workstreamId],
    ...signed(order),
    forced: true,
  });
  await transition(tx, {
    kind: 'run',
    from: ['FAILED'],
    to: 'RUNNING',
    ids: [runId],
    ...signed(order),
    forced: true,
    // The run requests its key anew, and waits behind the runs that hold it by now.
    set: sql`, key_since = now()`,
  });
  await awaitWorkstream(tx, workstreamId, order);
}

/**
 * Blocks dependants of the task again that were CANCELLED because it failed, level by level. A dependant stays
 * CANCELLED while another of its dependencies is FAILED or CANCELLED.
 */
async function waitAgain(tx: Tx, taskId: string, order: Order): Promise<void> {
  const alive = new Set([taskId]);
  for (let found = [taskId]; found.length > 0; ) {
    const hanging = await tx.query<{ task_id: string; needs: string[] }>(sql`
      select t.task_id, array(
               select n.depends_on_id from task_dependencies n join tasks p on p.task_id = n.depends_on_id
               where n.task_id = t.task_id and p.state in ('FAILED', 'CANCELLED')
             ) as needs
      from task_dependencies d join tasks t on t.task_id = d.task_id
      where d.depends_on_id = any (${found}::text[]) and t.state = 'CANCELLED' and t.reason = 'dependency_failed'
      order by t.task_id`);
    found = hanging.filter(({ needs }) => needs.every((need) => alive.has(need))).map(({ task_id }) => task_id);
    await transition(tx, {
      kind: 'task',
      from: ['CANCELLED'],
      to: 'BLOCKED',
      ids: found,
      ...signed(order),
      forced: true,
    });
    await uncount(tx, found);
    for (const id of found) alive.add(id);
  }
}

/**
 * Blocks workstreams again, with their tasks, that were ABANDONED because this one failed, level by level. A workstream
 * stays ABANDONED while another of its dependencies has failed.
 */
async function awaitWorkstream(tx: Tx, workstreamId: string, order: Order): Promise<void> {
  const alive = new Set([workstreamId]);
  for (let found = [workstreamId]; found.length > 0; ) {
    const hanging = await tx.query<{ workstream_id: string; needs: string[] }>(sql`
      select w.workstream_id, array(
               select n.depends_on_id from workstream_dependencies n
               join workstreams p on p.workstream_id = n.depends_on_id
               where n.workstream_id = w.workstream_id and p.state in ('FAILED', 'CANCELLED', 'ABANDONED')
             ) as needs
      from workstream_dependencies d join workstreams w on w.workstream_id = d.workstream_id
      where d.depends_on_id = any (${found}::text[]) and w.state = 'ABANDONED' and w.reason = 'dependency_failed'
      order by w.workstream_id`);
    found = hanging
      .filter(({ needs }) => needs.every((need) => alive.has(need)))
      .map(({ workstream_id }) => workstream_id);
    await waitForAnother(tx, found, order);
    for (const id of found) alive.add(id);
  }
}

async function waitForAnother(tx: Tx, ids: readonly string[], order: Order): Promise<void> {
  if (ids.length === 0) return;
  await uncountWorkstreams(tx, ids);
  await transition(tx, { kind: 'workstream', from: ['ABANDONED'], to: 'BLOCKED', ids, ...signed(order), forced: true });
  const taskIds = await selectIds(
    tx,
    sql`select task_id as id from tasks
        where workstream_id = any (${[...ids]}::text[]) and state = 'CANCELLED' and reason = 'dependency_failed'
        order by task_id`,
  );
  await transition(tx, {
    kind: 'task',
    from: ['CANCELLED'],
    to: 'BLOCKED',
    ids: taskIds,
    ...signed(order),
    forced: true,
  });
  await uncount(tx, taskIds);
  // PENDING, because the start of their workstream decides which of them are BLOCKED and which are QUEUED.
  await transition(tx, { kind: 'task', from: ['BLOCKED'], to: 'PENDING', ids: taskIds, ...signed(order) });
}

/** Subtracts reopened workstreams from the counts of their runs. Must run before their state changes. */
async function uncountWorkstreams(tx: Tx, ids: readonly string[]): Promise<void> {
  await tx.query(sql`
    with uncounted as (
      update workstreams set rolled_up = false, updated_at = now()
      where workstream_id = any (${[...ids]}::text[]) and rolled_up
      returning run_id, critical, state
    ), counts as (
      select run_id, count(*)::int as ended,
             count(*) filter (where critical and state <> 'COMPLETED')::int as critical_failed
      from uncounted group by run_id
    )
    update runs r
    set workstreams_ended = r.workstreams_ended - c.ended, critical_failed = r.critical_failed - c.critical_failed,
        updated_at = now()
    from counts c where r.run_id = c.run_id`);
}

/** Subtracts reopened tasks from the counts of their workstreams and runs. Must run after their state has changed. */
async function uncount(tx: Tx, taskIds: readonly string[]): Promise<void> {
  await tx.query(sql`
    with before as (
      -- The state that was counted is the one which the task last left; only FAILED and CANCELLED can be reopened.
      select t.task_id, t.workstream_id, t.run_id, last.from_state
      from tasks t cross join lateral (
        select from_state from state_transitions
        where kind = 'task' and entity_id = t.task_id and from_state in ('FAILED', 'CANCELLED')
        order by transition_id desc limit 1
      ) last
      where t.task_id = any (${[...taskIds]}::text[]) and t.rolled_up
      order by t.task_id for update of t
    ), marked as (
      update tasks t set rolled_up = false from before b where t.task_id = b.task_id
    ), of_workstream as (
      select workstream_id, count(*)::int as n, count(*) filter (where from_state = 'FAILED')::int as failed,
             count(*) filter (where from_state = 'CANCELLED')::int as cancelled
      from before group by workstream_id
    ), workstream_counts as (
      update workstreams w
      set tasks_ended = w.tasks_ended - c.n, tasks_failed = w.tasks_failed - c.failed,
          tasks_cancelled = w.tasks_cancelled - c.cancelled, updated_at = now(),
          progress_percentage = 100 * (w.tasks_ended - c.n) / greatest(1, w.tasks_total)
      from of_workstream c where w.workstream_id = c.workstream_id
    ), of_run as (
      select run_id, count(*)::int as n from before group by run_id
    )
    update runs r
    set tasks_ended = r.tasks_ended - c.n, updated_at = now(),
        progress_percentage = 100 * (r.tasks_ended - c.n) / greatest(1, r.tasks_total)
    from of_run c where r.run_id = c.run_id`);
}
