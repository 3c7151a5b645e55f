import type { Reason } from '../../contract/reasons.ts';
import type { RunState, WorkstreamState } from '../../contract/states.ts';
import { selectIds, sql, type Tx } from '../../database/database.ts';
import { progressPercentage, runEnding, workstreamEnding } from '../../domain/outcome.ts';
import { transition } from '../transition.ts';
import { startWorkstreams } from './start-run.ts';

const ACTOR = 'roll-up';
const BATCH = 5_000;

interface CountedWorkstream {
  workstream_id: string;
  state: WorkstreamState;
  tasks_total: number;
  tasks_ended: number;
  tasks_failed: number;
  tasks_cancelled: number;
}

interface CountedRun {
  run_id: string;
  state: RunState;
  workstreams_total: number;
  workstreams_ended: number;
  critical_failed: number;
}

/**
 * Adds ended tasks to the counts of their workstreams and runs, and ended workstreams to those of their runs and
 * dependants. `rolled_up` marks each ending as counted once. Returns true when there may be more to count.
 */
export async function rollUp(tx: Tx): Promise<boolean> {
  const tasks = await countEndedTasks(tx);
  await expireOrphanedPatches(tx);
  await endWorkstreams(tx);
  const workstreams = await countEndedWorkstreams(tx);
  await endRuns(tx);
  return tasks === BATCH || workstreams > 0;
}

async function countEndedTasks(tx: Tx): Promise<number> {
  // Marks one batch of ended tasks and adds it to its workstreams and runs. Served by index `tasks_to_roll_up`.
  const counted = await tx.query<{ n: number }>(sql`
    with ended as (
      select task_id from tasks
      where not rolled_up and state in ('COMPLETED', 'FAILED', 'CANCELLED')
      order by task_id limit ${BATCH} for update skip locked
    ), marked as (
      -- Joined by an array, because the planner estimates a full batch and would scan the whole table for a join.
      update tasks t set rolled_up = true where t.task_id = any (array(select task_id from ended))
      returning t.workstream_id, t.run_id, t.state
    ), of_workstream as (
      select workstream_id, count(*)::int as ended, count(*) filter (where state = 'FAILED')::int as failed,
             count(*) filter (where state = 'CANCELLED')::int as cancelled
      from marked group by workstream_id
    ), workstream_counts as (
      update workstreams w
      set tasks_ended = w.tasks_ended + c.ended, tasks_failed = w.tasks_failed + c.failed,
          tasks_cancelled = w.tasks_cancelled + c.cancelled, updated_at = now(),
          progress_percentage = least(100, 100 * (w.tasks_ended + c.ended) / greatest(1, w.tasks_total))
      from of_workstream c where w.workstream_id = c.workstream_id
    ), of_run as (
      select run_id, count(*)::int as ended from marked group by run_id
    ), run_counts as (
      update runs r
      set tasks_ended = r.tasks_ended + c.ended, updated_at = now(),
          progress_percentage = least(100, 100 * (r.tasks_ended + c.ended) / greatest(1, r.tasks_total))
      from of_run c where r.run_id = c.run_id
    )
    select count(*)::int as n from marked`);
  return counted[0]?.n ?? 0;
}

/** Expires ready-made patches whose task ended before a worker made a commit of them (index `patches_state`). */
async function expireOrphanedPatches(tx: Tx): Promise<void> {
  const orphans = await tx.query<{ patch_id: string; reason: Reason | null; detail: unknown }>(sql`
    select p.patch_id, t.reason,
           coalesce(t.evidence, r.evidence, '{}'::jsonb) || jsonb_build_object('task_state', t.state) as detail
    from patches p join tasks t on t.task_id = p.task_id join runs r on r.run_id = t.run_id
    where p.state = 'PENDING' and t.state in ('FAILED', 'CANCELLED') limit ${BATCH}`);
  const rows = orphans.map(({ patch_id, reason, detail }) => ({
    id: patch_id,
    reason: reason ?? ('task_ended' as const),
    detail,
  }));
  const set = sql`, evidence = w.detail`;
  await transition(tx, { kind: 'patch', from: ['PENDING'], to: 'EXPIRED', rows, actor: ACTOR, set });
}

async function endWorkstreams(tx: Tx): Promise<void> {
  // Selects running workstreams whose tasks have all ended, except in paused runs. Served by index `workstreams_state`.
  const full = await tx.query<CountedWorkstream>(sql`
    select w.workstream_id, w.state, w.tasks_total, w.tasks_ended, w.tasks_failed, w.tasks_cancelled
    from workstreams w join runs r on r.run_id = w.run_id
    where w.state = 'RUNNING' and w.tasks_ended >= w.tasks_total and r.state = 'RUNNING'
    order by w.workstream_id`);
  for (const to of ['COMPLETED', 'FAILED'] as const) {
    const ids = full
      .filter(
        (counts) =>
          workstreamEnding({
            total: counts.tasks_total,
            ended: counts.tasks_ended,
            failed: counts.tasks_failed,
            cancelled: counts.tasks_cancelled,
          }) === to,
      )
      .map(({ workstream_id }) => workstream_id);
    // Check again, because an operator may have reopened one of its tasks since the select.
    const where = sql`and t.tasks_ended >= t.tasks_total`;
    await transition(tx, {
      kind: 'workstream',
      from: ['RUNNING'],
      to,
      ids,
      reason: to === 'FAILED' ? 'tasks_failed' : undefined,
      actor: ACTOR,
      where,
    });
  }
}

async function countEndedWorkstreams(tx: Tx): Promise<number> {
  // Marks ended workstreams and adds them to their runs. Served by index `workstreams_to_roll_up`.
  const ended = await tx.query<{ workstream_id: string; state: WorkstreamState }>(sql`
    with ended as (
      select workstream_id from workstreams
      where not rolled_up and state in ('COMPLETED', 'FAILED', 'CANCELLED', 'ABANDONED')
      order by workstream_id limit ${BATCH} for update skip locked
    ), marked as (
      update workstreams w set rolled_up = true where w.workstream_id = any (array(select workstream_id from ended))
      returning w.workstream_id, w.run_id, w.state, w.critical
    ), of_run as (
      select run_id, count(*)::int as ended,
             count(*) filter (where critical and state <> 'COMPLETED')::int as critical_failed
      from marked group by run_id
    ), counted as (
      update runs r set workstreams_ended = r.workstreams_ended + c.ended,
             critical_failed = r.critical_failed + c.critical_failed, updated_at = now()
      from of_run c where r.run_id = c.run_id
    )
    select workstream_id, state from marked order by workstream_id`);
  const idsOf = (completed: boolean): string[] =>
    ended.filter(({ state }) => (state === 'COMPLETED') === completed).map(({ workstream_id }) => workstream_id);
  await startDependants(tx, idsOf(true));
  await abandonDependants(tx, idsOf(false));
  return ended.length;
}

async function startDependants(tx: Tx, completedIds: readonly string[]): Promise<void> {
  if (completedIds.length === 0) return;
  // Each edge is counted down once, because `satisfied_at` marks it (index `workstream_dependencies_reverse`).
  const ready = await tx.query<{ workstream_id: string; open_dependencies: number }>(sql`
    with satisfied as (
      update workstream_dependencies set satisfied_at = now()
      where depends_on_id = any (${[...completedIds]}::text[]) and satisfied_at is null
      returning workstream_id
    ), counted as (
      select workstream_id, count(*)::int as n from satisfied group by workstream_id
    )
    update workstreams w set open_dependencies = w.open_dependencies - c.n, updated_at = now()
    from counted c where w.workstream_id = c.workstream_id
    returning w.workstream_id, w.open_dependencies`);
  const ids = ready
    .filter(({ open_dependencies }) => open_dependencies === 0)
    .map(({ workstream_id }) => workstream_id);
  if (ids.length > 0) await startWorkstreams(tx, { from: 'BLOCKED', ids });
}

/** Abandons direct dependants only; the next roll-up counts these and abandons theirs. */
async function abandonDependants(tx: Tx, failedIds: readonly string[]): Promise<void> {
  if (failedIds.length === 0) return;
  const dependants = await selectIds(
    tx,
    sql`select distinct workstream_id as id from workstream_dependencies
        where depends_on_id = any (${[...failedIds]}::text[])`,
  );
  const abandoned = await transition(tx, {
    kind: 'workstream',
    from: ['PENDING', 'BLOCKED'],
    to: 'ABANDONED',
    ids: dependants,
    reason: 'dependency_failed',
    actor: ACTOR,
  });
  const tasks = await selectIds(
    tx,
    sql`select task_id as id from tasks where workstream_id = any (${abandoned.map(({ id }) => id)}::text[])`,
  );
  await transition(tx, {
    kind: 'task',
    from: ['PENDING', 'BLOCKED'],
    to: 'CANCELLED',
    ids: tasks,
    reason: 'dependency_failed',
    actor: ACTOR,
  });
}

/** Ends RUNNING runs whose workstreams have all ended (index `runs_state`). A paused run ends only after its resume. */
async function endRuns(tx: Tx): Promise<void> {
  const full = await tx.query<CountedRun>(sql`
    select run_id, state, workstreams_total, workstreams_ended, critical_failed from runs
    where state = 'RUNNING' and workstreams_total > 0 and workstreams_ended >= workstreams_total
    order by run_id`);
  for (const counts of full) {
    const { workstreams_total: total, workstreams_ended: ended, critical_failed: criticalFailed } = counts;
    const to = runEnding({ total, ended, criticalFailed });
    if (to === undefined) continue;
    const set = sql`, progress_percentage = ${progressPercentage({ total, ended })}`;
    const where = sql`and t.workstreams_ended >= t.workstreams_total`;
    await transition(tx, {
      kind: 'run',
      from: ['RUNNING'],
      to,
      ids: [counts.run_id],
      reason: to === 'FAILED' ? 'critical_workstream_failed' : undefined,
      actor: ACTOR,
      set,
      where,
    });
  }
}
