import { SluiceError } from '../../contract/errors.ts';
import { type Actor, type Order, signed } from '../../contract/order.ts';
import type { ReasonName } from '../../contract/reasons.ts';
import type { ConfinementKind, WorkerState } from '../../contract/states.ts';
import { type RawBuilder, selectIds, sql, type Tx } from '../../database/database.ts';
import type { GateValues } from '../../domain/gates-in-force.ts';
import { liveStates } from '../../domain/lifecycle.ts';
import { afterFailure } from '../../domain/retry.ts';
import { storableJson } from '../../lib/storable.ts';
import { freeProbes } from '../attempts/breakers.ts';
import { failGates } from '../landing/gates.ts';
import { countRefused } from '../refused-writes.ts';
import { cancelDependants } from '../runs/dependants.ts';
import { ints, RECONCILER, recordCreated, recordNote, transition } from '../transition.ts';

export interface NewWorker {
  workerId: string;
  hostname: string;
  pid: number;
  pools: readonly string[];
  taskSlots: number;
  gateSlots: number;
  confinement: ConfinementKind;
  /** Gate values by repository URL. */
  gateValues: Readonly<Record<string, GateValues>>;
}

export async function registerWorker(tx: Tx, worker: NewWorker): Promise<void> {
  await tx.query(sql`
    insert into workers (worker_id, state, hostname, pid, pools, task_slots, gate_slots,
                         confinement, gate_values, last_heartbeat)
    values (${worker.workerId}, 'IDLE', ${worker.hostname}, ${worker.pid}, ${[...worker.pools]}::text[],
            ${worker.taskSlots}, ${worker.gateSlots}, ${worker.confinement},
            ${storableJson(worker.gateValues)}::jsonb, now())`);
  await recordCreated(tx, { kind: 'worker', state: 'IDLE', ids: [worker.workerId], runId: null, actor: 'worker' });
}

export interface Heartbeat {
  workerId: string;
  /** Tasks and gates that the main thread holds. The leases of others are not renewed, because no thread runs them. */
  heldIds: readonly string[];
  leaseMs: number;
  /** True while work waits that this worker should claim but does not. */
  starving: boolean;
  /** True while its data folder is over the budget of its disk. */
  overDisk?: boolean;
}

/** Leases that a worker still holds after a heartbeat. */
export interface RenewedLeases {
  draining: boolean;
  /** `task_…` and `gate_…` ids with the attempt that holds them. */
  held: { id: string; attempt: number }[];
}

/**
 * Renews the worker's row and the leases of its tasks and gates, and sets its state to IDLE or BUSY. Returns undefined
 * when the worker's row is DEAD, STOPPED or missing; the worker must then stop everything. One statement as a rule, so
 * it needs no transaction: each of the others may be repeated or left to the next heartbeat.
 */
export async function heartbeat(
  tx: Tx,
  { workerId, heldIds, leaseMs, starving, overDisk = false }: Heartbeat,
): Promise<RenewedLeases | undefined> {
  const beat = sql`
    update workers set last_heartbeat = now(), updated_at = now(), stalled_since = null,
           starving_since = case when ${starving}::boolean then coalesce(starving_since, now()) end,
           over_disk_since = case when ${overDisk}::boolean then coalesce(over_disk_since, now()) end
    where worker_id = ${workerId} and state in ('IDLE', 'BUSY', 'UNHEALTHY')
    returning state, draining`;
  // An idle fleet only renews its rows: planning the rest would cost more than the renewal.
  const [worker] =
    heldIds.length === 0
      ? await tx.query<{ state: WorkerState } & RenewedLeases>(sql`${beat}, '[]'::jsonb as held`)
      : await tx.query<{ state: WorkerState } & RenewedLeases>(withLeases(beat, { workerId, heldIds, leaseMs }));
  if (worker === undefined) {
    await countRefused(tx, [workerId]);
    return undefined;
  }
  const { state, draining, held } = worker;
  const busy = heldIds.length > 0;
  const wanted = busy ? 'BUSY' : 'IDLE';
  if (state !== wanted) {
    const from = state === 'UNHEALTHY' ? (['UNHEALTHY'] as const) : ([busy ? 'IDLE' : 'BUSY'] as const);
    await transition(tx, { kind: 'worker', from, to: wanted, ids: [workerId], actor: 'worker' });
  }
  return { draining, held };
}

/**
 * Renews only the leases of ids that this worker holds in both views, by primary key. They read `beat`, so the row of
 * the worker is locked before those of its work, as the reconciler does.
 */
function withLeases(
  beat: RawBuilder<unknown>,
  { workerId, heldIds, leaseMs }: Pick<Heartbeat, 'workerId' | 'heldIds' | 'leaseMs'>,
): RawBuilder<{ state: WorkerState } & RenewedLeases> {
  const lease = sql`lease_expires_at = now() + make_interval(secs => ${leaseMs / 1000}::float8)`;
  const isHeld = sql`worker_id = ${workerId} and state = 'RUNNING' and exists (select 1 from beat)`;
  return sql`
    with beat as (${beat}), renewed_tasks as (
      update tasks set ${lease} where ${isHeld} and task_id = any (${[...heldIds]}::text[])
      returning task_id as id, attempt
    ), renewed_gates as (
      update test_gates set ${lease} where ${isHeld} and gate_id = any (${[...heldIds]}::text[])
      returning gate_id as id, attempt
    )
    select state, draining, coalesce((
      select jsonb_agg(h) from (select * from renewed_tasks union all select * from renewed_gates) h), '[]') as held
    from beat`;
}

/** Marks a worker that hangs or crashed. Tasks taken back from it count a worker death, unless it beats again first. */
export async function noteStall(tx: Tx, workerId: string): Promise<void> {
  await tx.query(sql`
    update workers set stalled_since = coalesce(stalled_since, now())
    where worker_id = ${workerId} and state in ('IDLE', 'BUSY', 'UNHEALTHY')`);
}

/** Marks a worker STOPPED after a clean shutdown, requeues its tasks and fails its gate runs as lost. */
export async function stopWorker(tx: Tx, workerId: string): Promise<void> {
  await transition(tx, {
    kind: 'worker',
    from: ['IDLE', 'BUSY', 'UNHEALTHY'],
    to: 'STOPPED',
    ids: [workerId],
    reason: 'stopped',
    actor: 'worker',
    set: sql`, stopped_at = now()`,
  });
  await takeBackWork(tx, { whose: sql`worker_id = ${workerId}`, cause: 'worker_stopped', actor: 'worker' });
}

/**
 * Marks a worker DEAD at once, without waiting for its lease. The caller must know that the process and its children
 * have ended. `crashed`: the process ended by itself, so its tasks may be the cause and count a worker death each.
 */
export async function markWorkerDead(
  tx: Tx,
  { workerId, crashed }: { workerId: string; crashed: boolean },
): Promise<void> {
  if (crashed) await noteStall(tx, workerId);
  const reason = crashed ? 'crashed' : 'process_ended';
  const move = { kind: 'worker', ids: [workerId], reason, actor: 'supervisor' } as const;
  await transition(tx, { ...move, from: ['IDLE', 'BUSY'], to: 'UNHEALTHY' });
  await transition(tx, { ...move, from: ['UNHEALTHY'], to: 'DEAD', set: sql`, stopped_at = now()` });
  await takeBackWork(tx, { whose: sql`worker_id = ${workerId}`, cause: 'worker_lost', actor: 'supervisor' });
}

/** Asks a worker to claim no more work; its next heartbeat tells it so. Throws `entity.not_found`, `state.changed`. */
export async function drainWorker(tx: Tx, { workerId, ...order }: Order & { workerId: string }): Promise<void> {
  const [worker] = await tx.query<{ state: WorkerState }>(sql`
    update workers set draining = true, reason = ${order.reason}, updated_at = now()
    where worker_id = ${workerId} and state = any (${liveStates('worker')}::text[]) returning state`);
  if (worker !== undefined) {
    const note = {
      kind: 'worker',
      id: workerId,
      runId: null,
      state: worker.state,
      reason: 'drain',
      actor: signed(order).actor,
      detail: { reason: order.reason },
    } as const;
    return recordNote(tx, note);
  }
  const [known] = await tx.query<{ state: WorkerState }>(sql`select state from workers where worker_id = ${workerId}`);
  if (known === undefined) throw new SluiceError('entity.not_found', `there is no worker ${workerId}`);
  throw new SluiceError('state.changed', `worker ${workerId} is ${known.state}: only a live worker can be drained`, {
    facts: { state: known.state },
  });
}

/** Orphans: tasks and gates RUNNING on a worker that no longer exists or has ended. */
const ORPHANED = sql`(worker_id is null or worker_id in (select worker_id from workers where state in ('DEAD', 'STOPPED')))`;

export interface Reaped {
  unhealthy: number;
  dead: number;
  tasks: number;
  gates: number;
}

/**
 * Moves workers without a heartbeat to UNHEALTHY and then DEAD, by the database's clock, and takes back expired and
 * orphaned work.
 */
export async function reapWorkers(
  tx: Tx,
  { unhealthyAfterMs, deadAfterMs }: { unhealthyAfterMs: number; deadAfterMs: number },
): Promise<Reaped> {
  // Selects live workers without a recent heartbeat (index `workers_state`).
  const silent = await tx.query<{ worker_id: string; is_dead: boolean }>(sql`
    select worker_id, last_heartbeat < now() - make_interval(secs => ${deadAfterMs / 1000}::float8) as is_dead
    from workers
    where state in ('IDLE', 'BUSY', 'UNHEALTHY')
      and last_heartbeat < now() - make_interval(secs => ${unhealthyAfterMs / 1000}::float8)
    order by worker_id`);
  const stillSilent = sql`and t.last_heartbeat < now() - make_interval(secs => ${unhealthyAfterMs / 1000}::float8)`;
  const unhealthy = await transition(tx, {
    kind: 'worker',
    from: ['IDLE', 'BUSY'],
    to: 'UNHEALTHY',
    ids: silent.map(({ worker_id }) => worker_id),
    reason: 'silent',
    actor: RECONCILER,
    where: stillSilent,
  });
  const dead = await transition(tx, {
    kind: 'worker',
    from: ['UNHEALTHY'],
    to: 'DEAD',
    ids: silent.filter(({ is_dead }) => is_dead).map(({ worker_id }) => worker_id),
    reason: 'lease_expired',
    actor: RECONCILER,
    where: sql`and t.last_heartbeat < now() - make_interval(secs => ${deadAfterMs / 1000}::float8)`,
    set: sql`, stopped_at = now()`,
  });
  const actor = RECONCILER;
  const expired = await takeBackWork(tx, { whose: sql`lease_expires_at < now()`, cause: 'worker_lost', actor });
  const orphaned = await takeBackWork(tx, { whose: ORPHANED, cause: 'orphaned', actor });
  return {
    unhealthy: unhealthy.length,
    dead: dead.length,
    tasks: expired.tasks + orphaned.tasks,
    gates: expired.gates + orphaned.gates,
  };
}

/**
 * Moves tasks RUNNING→QUEUED without using up a retry, and fails gate runs as lost. A task over which several workers
 * hung or crashed FAILS; a task that is interrupted for other reasons FAILS only after many interruptions.
 */
async function takeBackWork(
  tx: Tx,
  { whose, cause, actor }: { whose: ReturnType<typeof sql>; cause: ReasonName; actor: Actor },
): Promise<{ tasks: number; gates: number }> {
  // Selects RUNNING tasks by the partial index `tasks_in_flight`, or by `tasks_worker` when `whose` names one worker.
  const tasks = await tx.query<{ task_id: string; attempt: number; interruptions: number; deaths: number }>(sql`
    select task_id, attempt, interruptions, worker_deaths + coalesce(worker_id in (
             select worker_id from workers where stalled_since is not null), false)::int as deaths
    from tasks where state = 'RUNNING' and ${whose} order by task_id for update`);
  const steps = tasks.map((task) => {
    const counts = { interruptions: task.interruptions, workerDeaths: task.deaths };
    const before = { ...counts, retryCount: 0, maxRetries: 0, sameAsBefore: false };
    return { ...task, next: afterFailure('interrupted', before, () => 0) };
  });
  const move = { kind: 'task', from: ['RUNNING'], actor } as const;
  const failed = steps.flatMap(({ task_id: id, next }) =>
    next.to === 'FAILED' ? [{ id, reason: next.reason, detail: { cause } }] : [],
  );
  await transition(tx, { ...move, to: 'FAILED', rows: failed });
  await cancelDependants(
    tx,
    failed.map(({ id }) => id),
  );
  const requeued = steps.filter(({ next }) => next.to !== 'FAILED');
  await transition(tx, {
    ...move,
    to: 'QUEUED',
    ids: requeued.map(({ task_id }) => task_id),
    reason: cause,
    data: { deaths: ints(requeued.map(({ deaths }) => deaths)) },
    set: sql`, interruptions = t.interruptions + 1, worker_deaths = w.deaths`,
  });
  await freeProbes(
    tx,
    tasks.map(({ task_id: taskId, attempt }) => ({ taskId, attempt })),
  );
  const gateIds = await selectIds(tx, sql`select gate_id as id from test_gates where state = 'RUNNING' and ${whose}`);
  const lost = await failGates(tx, { gateIds, outcome: 'lost', actor });
  return { tasks: tasks.length, gates: lost.length };
}
