import { sql, type Tx } from '../../database/database.ts';
import { transition } from '../transition.ts';
import { queueTasks } from './start-run.ts';

/** Tasks that wait for these have one dependency less; those with none left are QUEUED. Each edge counts once. */
export async function unlockDependants(tx: Tx, completedTaskIds: readonly string[]): Promise<void> {
  const freed = await tx.query<{ task_id: string; open_dependencies: number }>(sql`
    with edges as (
      select task_id, depends_on_id from task_dependencies
      where depends_on_id = any (${[...completedTaskIds]}::text[]) and satisfied_at is null
      order by task_id, depends_on_id
      for update
    ), satisfied as (
      update task_dependencies d set satisfied_at = now() from edges e
      where d.task_id = e.task_id and d.depends_on_id = e.depends_on_id
      returning d.task_id
    ), counted as (
      select task_id, count(*)::int as n from satisfied group by task_id
    ), locked as (
      select t.task_id from tasks t join counted c on c.task_id = t.task_id order by t.task_id for update of t
    )
    update tasks t set open_dependencies = t.open_dependencies - c.n, updated_at = now()
    from counted c join locked l on l.task_id = c.task_id
    where t.task_id = c.task_id
    returning t.task_id, t.open_dependencies`);
  const ready = freed.filter(({ open_dependencies }) => open_dependencies === 0);
  if (ready.length === 0) return;
  const unblocked = await transition(tx, {
    kind: 'task',
    from: ['BLOCKED'],
    to: 'PENDING',
    ids: ready.map(({ task_id }) => task_id),
    actor: 'ledger',
  });
  await queueTasks(
    tx,
    unblocked.map(({ id }) => id),
  );
}

/** What hangs on a task that will not land is CANCELLED, transitively. */
export async function cancelDependants(tx: Tx, endedTaskIds: readonly string[]): Promise<void> {
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
