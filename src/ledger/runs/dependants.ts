import { sql, type Tx } from '../../database/database.ts';
import { transition } from '../transition.ts';

/** Counts down the open dependencies of the tasks that wait for these, and queues tasks with none left. */
export async function unlockDependants(tx: Tx, completedTaskIds: readonly string[]): Promise<void> {
  // Each edge is counted down once, because `satisfied_at` marks it (index `task_dependencies_reverse`).
  const freed = await tx.query<{ task_id: string; open_dependencies: number }>(sql`
    with satisfied as (
      update task_dependencies set satisfied_at = now()
      where depends_on_id = any (${[...completedTaskIds]}::text[]) and satisfied_at is null
      returning task_id
    ), counted as (
      select task_id, count(*)::int as n from satisfied group by task_id order by task_id
    ), locked as (
      -- Locks in id order, so that two completions that free the same tasks cannot deadlock.
      select c.task_id, c.n from counted c
      cross join lateral (select 1 from tasks t where t.task_id = c.task_id for update of t) t
    )
    update tasks t set open_dependencies = t.open_dependencies - l.n, updated_at = now()
    from locked l where t.task_id = l.task_id
    returning t.task_id, t.open_dependencies`);
  const ready = freed.filter(({ open_dependencies }) => open_dependencies === 0);
  if (ready.length === 0) return;
  await transition(tx, {
    kind: 'task',
    from: ['BLOCKED'],
    via: ['PENDING'],
    to: 'QUEUED',
    ids: ready.map(({ task_id }) => task_id),
    actor: 'ledger',
  });
}

/** Cancels all direct and indirect dependants of tasks that will not land. */
export async function cancelDependants(tx: Tx, endedTaskIds: readonly string[]): Promise<void> {
  if (endedTaskIds.length === 0) return;
  const dependants = await tx.query<{ task_id: string }>(sql`
    with recursive hanging as (
      select task_id from task_dependencies where depends_on_id = any (${[...endedTaskIds]}::text[])
      union
      select d.task_id from task_dependencies d join hanging h on d.depends_on_id = h.task_id
    )
    select task_id from hanging order by task_id`);
  await transition(tx, {
    kind: 'task',
    from: ['PENDING', 'BLOCKED'],
    to: 'CANCELLED',
    ids: dependants.map(({ task_id }) => task_id),
    reason: 'dependency_failed',
    detail: { dependencies: endedTaskIds },
    actor: 'ledger',
  });
}
