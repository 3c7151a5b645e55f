import { type Reader, sql, type Tx } from '../../database/database.ts';
import { type Candidate, Rooms, type ToolState } from '../../domain/admission.ts';
import type { Work } from '../../domain/work.ts';
import { transition } from '../transition.ts';
import { readAdmissionState } from './admission-state.ts';

/** Work that goes into a queue message, and which queue that is. */
export interface Dispatched extends Work {
  pool: string;
  /** Shown by Bull Board: the name of the tool or the gate. */
  name: string;
}

export type DispatchedKind = 'task' | 'gate';

/** Tables that messages come from (as `t`), their keys, and the state in which a row waits for its claim. */
export const DISPATCHED = {
  task: { table: sql.table('tasks'), key: sql.ref('t.task_id'), waiting: 'QUEUED' },
  gate: { table: sql.table('test_gates'), key: sql.ref('t.gate_id'), waiting: 'PENDING' },
} as const;

export interface AdmittedTask extends Dispatched {
  /** Number of workers that serve the pool. */
  workers: number;
}

interface PoolRoom {
  pool: string;
  room: number;
  workers: number;
}

const ACTOR = 'dispatcher';

/** RETRYING→QUEUED for every task whose delay is over. The index tasks_to_retry serves it. */
export async function requeueDue(tx: Tx): Promise<number> {
  const due = await tx.query<{ task_id: string }>(sql`
    select task_id from tasks where state = 'RETRYING' and (available_at is null or available_at <= now())
    order by available_at limit 1000`);
  const moved = await transition(tx, {
    kind: 'task',
    from: ['RETRYING'],
    to: 'QUEUED',
    ids: due.map(({ task_id }) => task_id),
    actor: ACTOR,
  });
  return moved.length;
}

/** Limit of rounds in one pool: each round finds one more full tool or repository. The next dispatch continues. */
const MAX_ROUNDS = 20;

/**
 * The one place that decides what may start now: room in the pool (a bounded window ahead of the slots), the run's
 * pause, key and budget, the tool's breaker, concurrency, rate and budget, the repository's limit; then rank. Marks
 * what it admits; the caller publishes after the commit. One dispatcher admits at a time, so every limit is exact.
 * `ahead` returns how many tasks a pool gets beyond its usual window.
 */
export async function admitTasks(tx: Tx, ahead: (pool: string) => number = () => 0): Promise<AdmittedTask[]> {
  await lockAdmission(tx);
  const pools = await roomByPool(tx, 'task', ahead);
  if (pools.length === 0) return [];
  const admission = await readAdmissionState(tx);
  const rooms = new Rooms(admission);
  const heldRuns = admission.runs.map(({ run_id }) => run_id);
  const admitted: AdmittedTask[] = [];
  for (const { pool, room, workers } of pools) {
    const chosen = await chooseFromPool(tx, { pool, room, rooms, heldRuns });
    for (const task of await markDispatched(tx, chosen)) admitted.push({ ...task, workers });
  }
  await nameProbes(tx, admission.tools, admitted);
  return admitted;
}

/**
 * Locks the one row of the installation, so that one process at a time admits. Without sorts the planner reads waiting
 * tasks in the order of tasks_to_admit; under stale statistics it would sort every QUEUED task.
 */
async function lockAdmission(tx: Tx): Promise<void> {
  await tx.query(sql`select set_config('enable_sort', 'off', true) from installation for update`);
}

/**
 * Chooses tasks in rank order (the index tasks_to_admit). Full tools and repositories are excluded from the next round,
 * so no task waits behind one that cannot start.
 */
async function chooseFromPool(
  tx: Tx,
  { pool, room, rooms, heldRuns }: { pool: string; room: number; rooms: Rooms; heldRuns: readonly string[] },
): Promise<string[]> {
  const chosen: string[] = [];
  for (let round = 0; round < MAX_ROUNDS && chosen.length < room; round += 1) {
    const candidates = await tx.query<Candidate>(sql`
      select t.task_id, t.tool, t.target_id from tasks t
      where t.state = 'QUEUED' and t.dispatched_at is null and t.pool = ${pool}
        and t.task_id <> all (${chosen}::text[]) and t.tool <> all (${rooms.fullTools}::text[])
        and coalesce(t.target_id, '') <> all (${rooms.fullTargets}::text[]) and t.run_id <> all (${[...heldRuns]}::text[])
        and (t.budget_usd is null or t.cost_usd < t.budget_usd)
        and exists (select 1 from runs r where r.run_id = t.run_id and r.state = 'RUNNING')
      order by t.ranked_at, t.task_id limit ${room - chosen.length}`);
    if (candidates.length === 0) break;
    chosen.push(...rooms.choose(candidates, room - chosen.length).map(({ task_id }) => task_id));
  }
  return chosen;
}

function markDispatched(tx: Tx, taskIds: readonly string[]): Promise<Dispatched[]> {
  return tx.query<Dispatched>(sql`
    with locked as (
      select task_id from tasks
      where task_id = any (${[...taskIds]}::text[]) and state = 'QUEUED' and dispatched_at is null
      order by task_id for update skip locked
    )
    update tasks t set dispatched_at = now(), dispatch = t.dispatch + 1, updated_at = now()
    where t.task_id = any (array(select task_id from locked))
    returning t.task_id as id, t.dispatch, t.pool, t.tool as name`);
}

/** Admits gate executions in the same way; they have slots of their own. */
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
 * Takes back dispatched tasks or gates that no worker will claim: the message did not get through, a breaker or a pause
 * refused the claim, or the worker has no slot. A claim that names this dispatch is refused from now on. Returns those
 * that were not claimed yet.
 */
export async function handBackAll(
  tx: Tx,
  kind: DispatchedKind,
  dispatched: readonly Work[],
): Promise<{ id: string; run_id: string | null; state: string }[]> {
  const { table, key, waiting } = DISPATCHED[kind];
  return tx.query(sql`
    update ${table} t set dispatched_at = null, updated_at = now()
    from unnest(${dispatched.map(({ id }) => id)}::text[], ${dispatched.map(({ dispatch }) => dispatch)}::int[]) as d(id, dispatch)
    where ${key} = d.id and t.dispatch = d.dispatch and t.state = ${waiting} and t.dispatched_at is not null
    returning ${key} as id, t.run_id, t.state`);
}

export interface PoolCapacity {
  pool: string;
  /** Number of workers that take work of the pool. */
  workers: number;
  slots: number;
  /** Dispatched or running, on any worker. */
  in_flight: number;
  /** The part of `in_flight` that occupies these slots. */
  taken: number;
  free: number;
}

/**
 * Returns the slots that workers offer, by pool, and how many are taken. Work that a draining or silent worker still
 * holds takes no slot. A pool with messages and no worker has no slots.
 */
export async function capacity(tx: Reader, kind: DispatchedKind): Promise<PoolCapacity[]> {
  const slots = kind === 'task' ? sql.ref('w.task_slots') : sql.ref('w.gate_slots');
  const work =
    kind === 'task'
      ? sql`select pool, state = 'RUNNING' as running, worker_id from tasks
            where state = 'RUNNING' or (state = 'QUEUED' and dispatched_at is not null)`
      : sql`select pool, state = 'RUNNING' as running, worker_id from test_gates
            where state = 'RUNNING' or (state = 'PENDING' and dispatched_at is not null)`;
  return tx.query<PoolCapacity>(sql`
    with taking as (
      select w.* from workers w
      where w.state in ('IDLE', 'BUSY') and not w.draining and w.over_disk_since is null
    ), offered as (
      select pool, count(*)::int as workers, sum(${slots})::int as slots
      from taking w, unnest(w.pools) as pool group by pool
    ), used as (
      select pool, count(*)::int as in_flight, count(*) filter (where not running or ours)::int as taken,
             count(*) filter (where running and ours)::int as running
      from (select *, exists (select 1 from taking w where w.worker_id = found.worker_id) as ours
            from (${work}) as found) as work
      group by pool
    )
    select pool, coalesce(o.workers, 0) as workers, coalesce(o.slots, 0) as slots,
           coalesce(u.in_flight, 0) as in_flight, coalesce(u.taken, 0) as taken,
           greatest(0, coalesce(o.slots, 0) - coalesce(u.running, 0)) as free
    from offered o full join used u using (pool)
    order by pool`);
}

/** Limit of the work ahead, in tasks a slot. */
const MOST_AHEAD = 6;
/** Refills a window that reaches ahead when this share of it is free, so that a round admits many tasks at once. */
const REFILL_AT = 0.25;

/**
 * Keeps as many messages again in the queue as there are slots, so that no slot waits for the next round, and `ahead`
 * more where slots turn over fast. The window ahead is at most `MOST_AHEAD` times the slots, because what is dispatched
 * goes before tasks of a higher priority that come later.
 */
async function roomByPool(
  tx: Tx,
  kind: DispatchedKind,
  ahead: (pool: string) => number = () => 0,
): Promise<PoolRoom[]> {
  return (await capacity(tx, kind)).flatMap(({ pool, workers, slots, taken }) => {
    const extra = Math.min(ahead(pool), MOST_AHEAD * slots);
    const window = 2 * slots + extra;
    const room = window - taken;
    const mayWait = extra > 0 && room < REFILL_AT * window;
    return room <= 0 || mayWait ? [] : [{ pool, room, workers }];
  });
}

/**
 * OPEN→HALF_OPEN with the admitted task as the probe. If an operator has tripped the breaker since it was read, the
 * claim refuses the task instead.
 */
export async function nameProbes(tx: Tx, tools: readonly ToolState[], admitted: readonly Dispatched[]): Promise<void> {
  for (const { breaker_id, tool, state } of tools.filter(({ admits }) => admits === 'probe')) {
    const probe = admitted.find(({ name }) => name === tool);
    if (probe === undefined) continue;
    const name = sql`probe_task_id = ${probe.id},
      probe_attempt = (select attempt + 1 from tasks where task_id = ${probe.id})`;
    if (state === 'OPEN') {
      await transition(tx, {
        kind: 'breaker',
        from: ['OPEN'],
        to: 'HALF_OPEN',
        ids: [breaker_id],
        reason: 'cooldown_over',
        detail: { task_id: probe.id },
        actor: ACTOR,
        set: sql`, ${name}`,
        where: sql`and t.tripped_by is null`,
      });
    } else {
      await tx.query(sql`update circuit_breakers set ${name}, updated_at = now()
        where breaker_id = ${breaker_id} and state = 'HALF_OPEN' and tripped_by is null`);
    }
  }
}
