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
  await reopenAround(tx, [taskId], order);
}

/**
 * Moves a task FAILED or CANCELLED→QUEUED by order of an operator, with all its retries and its history kept. Reopens
 * its run, workstream and dependants. Throws `state.changed` while one of its own dependencies is not satisfied.
 */
export async function retryTask(tx: Tx, taskId: string, order: Order): Promise<void> {
  const [task] = await tx.query<{ state: string }>(sql`select state from tasks where task_id = ${taskId} for update`);
  if (task === undefined) throw new SluiceError('entity.not_found', `there is no task ${taskId}`);
  if (task.state !== 'FAILED' && task.state !== 'CANCELLED') {
    throw new SluiceError('state.changed', `task ${taskId} is ${task.state}, not FAILED or CANCELLED`, {
      facts: { state: task.state },
    });
  }
  await requeue(tx, [taskId], order);
}

/** Retries every FAILED task of a run. Returns their ids, oldest first; throws `state.changed` when there is none. */
export async function retryRun(tx: Tx, runId: string, order: Order): Promise<string[]> {
  const failed = await selectIds(
    tx,
    sql`select task_id as id from tasks where run_id = ${runId} and state = 'FAILED' order by task_id for update`,
  );
  if (failed.length === 0) throw new SluiceError('state.changed', `run ${runId} has no FAILED task to retry`);
  await requeue(tx, failed, order);
  return failed;
}

/** Moves ended tasks of one run to QUEUED. The caller has locked them. */
async function requeue(tx: Tx, taskIds: readonly string[], order: Order): Promise<void> {
  await assertDependenciesSatisfied(tx, taskIds);
  await transition(tx, {
    kind: 'task',
    from: ['FAILED', 'CANCELLED'],
    to: 'QUEUED',
    ids: taskIds,
    ...signed(order),
    forced: true,
    set: sql`, retry_count = 0, interruptions = 0, failure_fingerprint = null`,
  });
  await reopenAround(tx, taskIds, order);
}

async function assertDependenciesSatisfied(tx: Tx, taskIds: readonly string[]): Promise<void> {
  const lacking = await tx.query<{ task_id: string; depends_on_id: string | null }>(sql`
    select t.task_id, d.depends_on_id
    from tasks t join workstreams w on w.workstream_id = t.workstream_id
    left join task_dependencies d on d.task_id = t.task_id and d.satisfied_at is null
    where t.task_id = any (${[...taskIds]}::text[]) and (d.task_id is not null or w.open_dependencies > 0)
    order by 1, 2`);
  const [first] = lacking;
  if (first === undefined) return;
  const what = first.depends_on_id ?? 'another workstream';
  const dependencies = lacking.filter(({ task_id }) => task_id === first.task_id).map((row) => row.depends_on_id);
  throw new SluiceError(
    'state.changed',
    `task ${first.task_id} depends on ${what}, which has not completed: retry that first`,
    { facts: { depends_on: dependencies.filter((id) => id !== null) } },
  );
}

/** Reopens what had ended because these tasks of one run had: workstreams, run and dependants. */
async function reopenAround(tx: Tx, taskIds: readonly string[], order: Order): Promise<void> {
  await reopenAbove(tx, taskIds, order);
  await uncount(tx, taskIds);
  await waitAgain(tx, taskIds, order);
}

/**
 * Reopens the workstreams and the run of tasks if they have ended. Locks them before it reads them, in the order of the
 * roll-up, because the roll-up may be ending them at the same time.
 */
async function reopenAbove(tx: Tx, taskIds: readonly string[], order: Order): Promise<void> {
  const workstreams = await tx.query<{ workstream_id: string; run_id: string }>(sql`
    select workstream_id, run_id from workstreams
    where workstream_id in (select workstream_id from tasks where task_id = any (${[...taskIds]}::text[]))
    order by workstream_id for update`);
  const workstreamIds = workstreams.map(({ workstream_id }) => workstream_id);
  const runId = workstreams[0]!.run_id;
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
  await uncountWorkstreams(tx, workstreamIds);
  await transition(tx, {
    kind: 'workstream',
    from: ['FAILED', 'CANCELLED', 'ABANDONED'],
    to: 'RUNNING',
    ids: workstreamIds,
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
  await awaitWorkstreams(tx, workstreamIds, order);
}

/**
 * Blocks the dependants of tasks again that were CANCELLED because these failed. A dependant stays CANCELLED while
 * another of its dependencies is FAILED or CANCELLED.
 */
async function waitAgain(tx: Tx, taskIds: readonly string[], order: Order): Promise<void> {
  const ids = revived(await hangingOn(tx, 'task', taskIds));
  await transition(tx, { kind: 'task', from: ['CANCELLED'], to: 'BLOCKED', ids, ...signed(order), forced: true });
  await uncount(tx, ids);
}

/**
 * Blocks workstreams again, with their tasks, that were ABANDONED because these failed. A workstream stays ABANDONED
 * while another of its dependencies has failed.
 */
async function awaitWorkstreams(tx: Tx, workstreamIds: readonly string[], order: Order): Promise<void> {
  await waitForAnother(tx, revived(await hangingOn(tx, 'workstream', workstreamIds)), order);
}

/** Tables of the two graphs, the states of what has failed, and the state of what ended because of that. */
const GRAPHS = {
  task: { table: 'tasks', edges: 'task_dependencies', failed: ['FAILED', 'CANCELLED'], ended: 'CANCELLED' },
  workstream: {
    table: 'workstreams',
    edges: 'workstream_dependencies',
    failed: ['FAILED', 'CANCELLED', 'ABANDONED'],
    ended: 'ABANDONED',
  },
} as const;

/** Returns the direct and indirect dependants that ended because these failed (index `task_dependencies_reverse`). */
function hangingOn(tx: Tx, kind: keyof typeof GRAPHS, ids: readonly string[]): Promise<Hanging[]> {
  const { table, edges, failed, ended } = GRAPHS[kind];
  const [nodes, dependencies, key] = [sql.table(table), sql.table(edges), sql.id(`${kind}_id`)];
  return tx.query<Hanging>(sql`
    with recursive hanging as (
      select unnest(${[...ids]}::text[]) as id
      union
      select t.${key} from hanging h join ${dependencies} d on d.depends_on_id = h.id
      join ${nodes} t on t.${key} = d.${key}
      where t.state = ${ended} and t.reason = 'dependency_failed'
    )
    select h.id, array(
             select n.depends_on_id from ${dependencies} n join ${nodes} p on p.${key} = n.depends_on_id
             where n.${key} = h.id and p.state = any (${[...failed]}::text[])
           ) as needs
    from hanging h where h.id <> all (${[...ids]}::text[]) order by 1`);
}

interface Hanging {
  id: string;
  /** Its dependencies that have failed and are not reopened. */
  needs: string[];
}

/** Returns the ids of those that may wait again: each dependency that has failed may wait again itself. */
function revived(hanging: readonly Hanging[]): string[] {
  const open = new Map(hanging.map(({ id, needs }) => [id, needs.length]));
  const needed = hanging.flatMap(({ id, needs }) => needs.map((need) => ({ id, need })));
  const dependants = Map.groupBy(needed, ({ need }) => need);
  const alive = hanging.filter(({ needs }) => needs.length === 0).map(({ id }) => id);
  // The list grows while it is walked: a chain of many thousand dependants is legal.
  for (const one of alive) {
    for (const { id } of dependants.get(one) ?? []) {
      open.set(id, open.get(id)! - 1);
      if (open.get(id) === 0) alive.push(id);
    }
  }
  return alive;
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
