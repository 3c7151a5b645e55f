import { SluiceError } from '../../contract/errors.ts';
import { type Order, signed } from '../../contract/order.ts';
import { sql, type Tx } from '../../database/database.ts';
import { recordNote } from '../transition.ts';

export interface AttemptCost {
  taskId: string;
  attempt: number;
  tool: string;
  costUsd: number | null;
}

/**
 * Adds the costs of attempts to their tasks, runs and tools' days (UTC). Each attempt counts once, however often it is
 * reported.
 */
export async function recordCosts(tx: Tx, attempts: readonly AttemptCost[]): Promise<void> {
  const costs = attempts.filter(({ costUsd }) => costUsd !== null && costUsd > 0);
  if (costs.length === 0) return;
  const counted = await tx.query<{ task_id: string; tool: string; usd: number }>(sql`
    update tasks t
    set cost_usd = t.cost_usd + c.usd, costed_attempts = t.costed_attempts || c.attempt, updated_at = now()
    from unnest(${costs.map(({ taskId }) => taskId)}::text[], ${costs.map(({ attempt }) => attempt)}::int[],
                ${costs.map(({ costUsd }) => costUsd)}::float8[]) as c(task_id, attempt, usd)
    where t.task_id = c.task_id and c.attempt <= t.attempt and not c.attempt = any (t.costed_attempts)
    returning t.task_id, t.tool, c.usd`);
  if (counted.length === 0) return;
  const cost = sql`unnest(${counted.map(({ task_id }) => task_id)}::text[], ${counted.map(({ tool }) => tool)}::text[],
    ${counted.map(({ usd }) => usd)}::float8[]) as c(task_id, tool, usd)`;
  const runs = await tx.query<{ run_id: string; state: string; cost_usd: number; budget_usd: number }>(sql`
    with spent as (
      select t.run_id, sum(c.usd) as usd from ${cost} join tasks t on t.task_id = c.task_id group by t.run_id
    ), locked as (
      select r.run_id from runs r join spent s on s.run_id = r.run_id order by r.run_id for update of r
    )
    update runs r set cost_usd = r.cost_usd + s.usd, updated_at = now()
    from spent s join locked l on l.run_id = s.run_id
    where r.run_id = s.run_id
    returning r.run_id, r.state,
              case when r.cost_usd >= r.budget_usd and r.cost_usd - s.usd < r.budget_usd then r.cost_usd end as cost_usd,
              r.budget_usd`);
  await tx.query(sql`
    insert into tool_costs (tool_name, day, usd)
    select c.tool, (now() at time zone 'UTC')::date, sum(c.usd) from ${cost} group by c.tool order by c.tool
    on conflict (tool_name, day) do update set usd = tool_costs.usd + excluded.usd`);
  for (const { run_id: id, state, cost_usd, budget_usd } of runs.filter((run) => run.cost_usd !== null)) {
    const detail = { cost_usd, budget_usd };
    await recordNote(tx, { kind: 'run', id, runId: id, state, reason: 'budget_spent', actor: 'budget', detail });
  }
}

export interface BudgetOrder extends Order {
  id: string;
  usd: number;
}

/**
 * Sets the budget of a run or task; tasks that waited for it go on with the next dispatch. Throws `entity.not_found`.
 */
export async function setBudget(tx: Tx, kind: 'run' | 'task', order: BudgetOrder): Promise<void> {
  const { id, usd } = order;
  const [table, key] = kind === 'run' ? (['runs', 'run_id'] as const) : (['tasks', 'task_id'] as const);
  const [changed] = await tx.query<{ run_id: string; state: string }>(sql`
    update ${sql.table(table)} set budget_usd = ${usd}, updated_at = now() where ${sql.ref(key)} = ${id}
    returning run_id, state`);
  if (changed === undefined) throw new SluiceError('entity.not_found', `there is no ${kind} ${id}`);
  tx.wake('dispatch');
  const { actor, reason } = signed(order);
  const detail = { budget_usd: usd, reason };
  await recordNote(tx, { kind, id, runId: changed.run_id, state: changed.state, reason: 'budget_set', actor, detail });
}
