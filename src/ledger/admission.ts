import { sql, type Tx } from '../database/database.ts';
import { toRows, transition } from './transition.ts';

/** A queue message in the making: ids and the queue, nothing else. */
export interface Dispatched {
  id: string;
  dispatch: number;
  pool: string;
  /** What Bull Board shows: the tool's or the gate's name. */
  name: string;
}

export interface ToolLimit {
  tool: string;
  concurrency: number;
}

interface PoolRoom {
  pool: string;
  room: number;
}

const ACTOR = 'dispatcher';

/** RETRYING→QUEUED for every task whose delay is over. */
export async function requeueDue(tx: Tx): Promise<number> {
  const due = await tx.query<{ task_id: string }>(sql`
    select task_id from tasks where state = 'RETRYING' and (available_at is null or available_at <= now())
    order by available_at limit 1000`);
  const moved = await transition(tx, {
    kind: 'task',
    from: ['RETRYING'],
    to: 'QUEUED',
    rows: toRows(due.map(({ task_id }) => task_id)),
    actor: ACTOR,
    set: sql`, queued_at = now(), dispatched_at = null, available_at = null`,
  });
  return moved.length;
}

/**
 * The one place that decides what may start now: room in the pool (a bounded window ahead of the slots), the run's pause,
 * the tool's breaker and its concurrency, then priority and age. Marks what it admits; the caller publishes after the commit.
 */
export async function admitTasks(tx: Tx, limits: readonly ToolLimit[]): Promise<Dispatched[]> {
  const rooms = await roomByPool(tx, 'task');
  if (rooms.length === 0) return [];
  // Locks the row of every tool: two dispatchers never count the same room twice.
  const breakers = await lockBreakers(tx);
  const probes = breakers.filter(({ admits }) => admits === 'probe').map(({ tool }) => ({ tool, concurrency: 1 }));
  const closed = breakers.filter(({ admits }) => admits === 'none').map(({ tool }) => tool);
  const remaining = await remainingOf(
    tx,
    limits.filter(({ tool }) => !closed.includes(tool)),
    probes,
  );
  const admitted: Dispatched[] = [];
  for (const { pool, room } of rooms) {
    const batch = await admitFromPool(tx, { pool, room, remaining, closed });
    for (const { name } of batch) {
      const left = remaining.find(({ tool }) => tool === name);
      if (left !== undefined) left.concurrency -= 1;
    }
    admitted.push(...batch);
  }
  await nameProbes(
    tx,
    breakers.filter(({ admits }) => admits === 'probe'),
    admitted,
  );
  return admitted;
}

/** Gate executions go the same way; slots for gates are their own. */
export async function admitGates(tx: Tx): Promise<Dispatched[]> {
  const admitted: Dispatched[] = [];
  for (const { pool, room } of await roomByPool(tx, 'gate')) {
    const batch = await tx.query<Dispatched>(sql`
      with chosen as (
        select gate_id from test_gates
        where state = 'PENDING' and dispatched_at is null and pool = ${pool}
        order by created_at, gate_id limit ${room} for update skip locked
      )
      update test_gates g set dispatched_at = now(), dispatch = g.dispatch + 1, updated_at = now()
      from chosen c where g.gate_id = c.gate_id
      returning g.gate_id as id, g.dispatch, g.pool, g.test_suite as name`);
    admitted.push(...batch);
  }
  return admitted;
}

/**
 * Marks again what was dispatched and not claimed for `olderThanMs` though its pool has a free slot: its message is lost.
 * Never asks the queue; a message that comes twice is refused by the fence.
 */
export async function forgetLostDispatches(tx: Tx, olderThanMs: number): Promise<number> {
  let forgotten = 0;
  for (const kind of ['task', 'gate'] as const) {
    const table = kind === 'task' ? sql.table('tasks') : sql.table('test_gates');
    const waiting = kind === 'task' ? 'QUEUED' : 'PENDING';
    for (const { pool, free } of await capacity(tx, kind)) {
      if (free <= 0) continue;
      const rows = await tx.query(sql`
        update ${table} set dispatched_at = null, updated_at = now()
        where state = ${waiting} and pool = ${pool}
          and dispatched_at < now() - make_interval(secs => ${olderThanMs / 1000}::float8)
        returning 1`);
      forgotten += rows.length;
    }
  }
  return forgotten;
}

/** A claim that was refused for now (breaker, pause): the task waits in the ledger again. */
export async function handBack(tx: Tx, { taskId, dispatch }: { taskId: string; dispatch: number }): Promise<void> {
  await tx.query(sql`
    update tasks set dispatched_at = null, updated_at = now()
    where task_id = ${taskId} and dispatch = ${dispatch} and state = 'QUEUED'`);
}

interface PoolCapacity {
  pool: string;
  slots: number;
  in_flight: number;
  free: number;
}

async function capacity(tx: Tx, kind: 'task' | 'gate'): Promise<PoolCapacity[]> {
  const slots = kind === 'task' ? sql.ref('w.task_slots') : sql.ref('w.gate_slots');
  const work =
    kind === 'task'
      ? sql`select pool, state = 'RUNNING' as running from tasks
            where state = 'RUNNING' or (state = 'QUEUED' and dispatched_at is not null)`
      : sql`select pool, state = 'RUNNING' as running from test_gates
            where state = 'RUNNING' or (state = 'PENDING' and dispatched_at is not null)`;
  return tx.query<PoolCapacity>(sql`
    with offered as (
      select pool, sum(${slots})::int as slots
      from workers w, unnest(w.pools) as pool
      where w.state in ('IDLE', 'BUSY') and not w.draining
      group by pool
    ), used as (
      select pool, count(*)::int as in_flight, count(*) filter (where running)::int as running
      from (${work}) as work group by pool
    )
    select o.pool, o.slots, coalesce(u.in_flight, 0) as in_flight, o.slots - coalesce(u.running, 0) as free
    from offered o left join used u on u.pool = o.pool
    order by o.pool`);
}

/** As much again as there are slots stands ready in the queue, so that no slot waits for the next round. */
async function roomByPool(tx: Tx, kind: 'task' | 'gate'): Promise<PoolRoom[]> {
  return (await capacity(tx, kind))
    .map(({ pool, slots, in_flight }) => ({ pool, room: 2 * slots - in_flight }))
    .filter(({ room }) => room > 0);
}

interface BreakerGate {
  breaker_id: string;
  tool: string;
  state: 'CLOSED' | 'OPEN' | 'HALF_OPEN';
  admits: 'all' | 'probe' | 'none';
}

/**
 * `probe`: the cooldown is over by the database's clock, or HALF_OPEN has no probe any more. The named one counts only
 * while it runs or its message is on its way, so a lost message, a refused claim or a cancel frees the name by itself.
 */
async function lockBreakers(tx: Tx): Promise<BreakerGate[]> {
  return tx.query<BreakerGate>(sql`
    select b.breaker_id, b.tool_name as tool, b.state,
           case when b.state = 'CLOSED' then 'all'
                when b.state = 'OPEN' and b.opened_at + make_interval(secs => b.cooldown_seconds) <= now() then 'probe'
                when b.state = 'HALF_OPEN' and not exists (
                  select 1 from tasks t where t.task_id = b.probe_task_id and (
                    (t.state = 'RUNNING' and t.attempt = b.probe_attempt)
                    or (t.state = 'QUEUED' and t.dispatched_at is not null and t.attempt + 1 = b.probe_attempt))
                ) then 'probe'
                else 'none' end as admits
    from circuit_breakers b order by b.breaker_id for update of b`);
}

async function remainingOf(tx: Tx, limits: readonly ToolLimit[], probes: readonly ToolLimit[]): Promise<ToolLimit[]> {
  const inFlight = await tx.query<{ tool: string; n: number }>(sql`
    select tool, count(*)::int as n from tasks
    where tool = any (${limits.map(({ tool }) => tool)}::text[])
      and (state = 'RUNNING' or (state = 'QUEUED' and dispatched_at is not null))
    group by tool`);
  const left = limits
    .filter(({ tool }) => !probes.some((probe) => probe.tool === tool))
    .map(({ tool, concurrency }) => ({
      tool,
      concurrency: Math.max(0, concurrency - (inFlight.find((used) => used.tool === tool)?.n ?? 0)),
    }));
  return [...left, ...probes];
}

async function admitFromPool(
  tx: Tx,
  choice: { pool: string; room: number; remaining: readonly ToolLimit[]; closed: readonly string[] },
): Promise<Dispatched[]> {
  const { pool, room, remaining, closed } = choice;
  const limited = remaining.map(({ tool }) => tool);
  const mayWait = sql`
    t.state = 'QUEUED' and t.dispatched_at is null and t.pool = ${pool}
    and exists (select 1 from runs r where r.run_id = t.run_id and r.state = 'RUNNING')`;
  const order = sql`t.priority desc, t.queued_at, t.task_id`;
  return tx.query<Dispatched>(sql`
    with free_tools as (
      select t.task_id, t.priority, t.queued_at from tasks t
      where ${mayWait} and t.tool <> all (${[...limited, ...closed]}::text[])
      order by ${order} limit ${room}
    ), limited_tools as (
      select picked.* from unnest(${limited}::text[], ${remaining.map(({ concurrency }) => concurrency)}::int[]) as l(tool, n)
      cross join lateral (
        select t.task_id, t.priority, t.queued_at from tasks t
        where ${mayWait} and t.tool = l.tool order by ${order} limit l.n
      ) picked
    ), chosen as (
      select t.task_id from (select * from free_tools union all select * from limited_tools) t
      order by ${order} limit ${room}
    ), locked as (
      -- By arrays of ids: a join with a CTE, whose size is guessed, would read the whole table.
      select t.task_id from tasks t
      where t.task_id = any (array(select task_id from chosen)) and t.state = 'QUEUED' and t.dispatched_at is null
      order by t.task_id for update of t skip locked
    )
    update tasks t set dispatched_at = now(), dispatch = t.dispatch + 1, updated_at = now()
    where t.task_id = any (array(select task_id from locked))
    returning t.task_id as id, t.dispatch, t.pool, t.tool as name`);
}

/** OPEN→HALF_OPEN with the admitted task as the one whose next attempt decides. */
async function nameProbes(tx: Tx, breakers: readonly BreakerGate[], admitted: readonly Dispatched[]): Promise<void> {
  for (const { breaker_id, tool, state } of breakers) {
    const probe = admitted.find(({ name }) => name === tool);
    if (probe === undefined) continue;
    const name = sql`probe_task_id = ${probe.id},
      probe_attempt = (select attempt + 1 from tasks where task_id = ${probe.id})`;
    if (state === 'OPEN') {
      await transition(tx, {
        kind: 'breaker',
        from: ['OPEN'],
        to: 'HALF_OPEN',
        rows: toRows([breaker_id], 'cooldown_over', { task_id: probe.id }),
        actor: ACTOR,
        set: sql`, ${name}`,
      });
    } else {
      await tx.query(sql`update circuit_breakers set ${name}, updated_at = now() where breaker_id = ${breaker_id}`);
    }
  }
}
