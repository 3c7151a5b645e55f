import { sql, type Tx } from '../database/database.ts';
import type { WorkerState } from '../domain/lifecycles/worker.ts';
import { afterFailure } from '../domain/retry.ts';
import { freeProbes } from './breakers.ts';
import { cancelDependants } from './dependants.ts';
import { failGates } from './gates.ts';
import { recordCreated, toRows, transition } from './transition.ts';

export interface NewWorker {
  workerId: string;
  hostname: string;
  pid: number;
  pools: readonly string[];
  taskSlots: number;
  gateSlots: number;
}

export async function registerWorker(tx: Tx, worker: NewWorker): Promise<void> {
  await tx.query(sql`
    insert into workers (worker_id, state, hostname, pid, pools, task_slots, gate_slots, last_heartbeat)
    values (${worker.workerId}, 'IDLE', ${worker.hostname}, ${worker.pid}, ${[...worker.pools]}::text[],
            ${worker.taskSlots}, ${worker.gateSlots}, now())`);
  await recordCreated(tx, { kind: 'worker', state: 'IDLE', ids: [worker.workerId], runId: null, actor: 'worker' });
}

export interface Heartbeat {
  workerId: string;
  /** Tasks and gates that the main thread holds. Others are not renewed: nobody works on them. */
  heldIds: readonly string[];
  leaseMs: number;
}

/** What the worker still holds; undefined when the ledger has given it up and it must stop everything. */
export interface HeldWork {
  draining: boolean;
  /** `task_…` and `gate_…` ids with the attempt that holds them. */
  held: { id: string; attempt: number }[];
}

/** One batched write: the worker's row, IDLE or BUSY as it is, and the leases of all its tasks and gates. */
export async function heartbeat(tx: Tx, { workerId, heldIds, leaseMs }: Heartbeat): Promise<HeldWork | undefined> {
  const [worker] = await tx.query<{ state: WorkerState; draining: boolean }>(sql`
    update workers set last_heartbeat = now(), updated_at = now()
    where worker_id = ${workerId} and state in ('IDLE', 'BUSY', 'UNHEALTHY')
    returning state, draining`);
  if (worker === undefined) return undefined;
  const busy = heldIds.length > 0;
  const wanted = busy ? 'BUSY' : 'IDLE';
  if (worker.state !== wanted) {
    const from = worker.state === 'UNHEALTHY' ? (['UNHEALTHY'] as const) : ([busy ? 'IDLE' : 'BUSY'] as const);
    await transition(tx, { kind: 'worker', from, to: wanted, rows: toRows([workerId]), actor: 'worker' });
  }
  const lease = sql`lease_expires_at = now() + make_interval(secs => ${leaseMs / 1000}::float8)`;
  const held = await tx.query<{ id: string; attempt: number }>(sql`
    with renewed_tasks as (
      update tasks set ${lease}
      where worker_id = ${workerId} and state = 'RUNNING' and task_id = any (${[...heldIds]}::text[])
      returning task_id as id, attempt
    ), renewed_gates as (
      update test_gates set ${lease}
      where worker_id = ${workerId} and state = 'RUNNING' and gate_id = any (${[...heldIds]}::text[])
      returning gate_id as id, attempt
    )
    select id, attempt from renewed_tasks union all select id, attempt from renewed_gates`);
  return { draining: worker.draining, held };
}

/** A worker that goes in peace. What it still held goes back to the queue. */
export async function stopWorker(tx: Tx, workerId: string): Promise<void> {
  await transition(tx, {
    kind: 'worker',
    from: ['IDLE', 'BUSY', 'UNHEALTHY'],
    to: 'STOPPED',
    rows: toRows([workerId], 'stopped'),
    actor: 'worker',
    set: sql`, stopped_at = now()`,
  });
  await takeBackWork(tx, sql`worker_id = ${workerId}`, 'worker_stopped');
}

export interface Reaped {
  unhealthy: number;
  dead: number;
  tasks: number;
  gates: number;
}

/** Judges the living by the database's clock: silent for long UNHEALTHY, for a lease DEAD; what they held goes back. */
export async function reapWorkers(
  tx: Tx,
  { unhealthyAfterMs, deadAfterMs }: { unhealthyAfterMs: number; deadAfterMs: number },
): Promise<Reaped> {
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
    rows: toRows(
      silent.map(({ worker_id }) => worker_id),
      'silent',
    ),
    actor: 'reconciler',
    where: stillSilent,
  });
  const dead = await transition(tx, {
    kind: 'worker',
    from: ['UNHEALTHY'],
    to: 'DEAD',
    rows: toRows(
      silent.filter(({ is_dead }) => is_dead).map(({ worker_id }) => worker_id),
      'lease_expired',
    ),
    actor: 'reconciler',
    where: sql`and t.last_heartbeat < now() - make_interval(secs => ${deadAfterMs / 1000}::float8)`,
    set: sql`, stopped_at = now()`,
  });
  const taken = await takeBackWork(tx, sql`lease_expires_at < now()`, 'worker_lost');
  return { unhealthy: unhealthy.length, dead: dead.length, ...taken };
}

/** RUNNING→QUEUED without using up a retry; a task that keeps killing its workers FAILS in the end. */
async function takeBackWork(
  tx: Tx,
  whose: ReturnType<typeof sql>,
  reason: string,
): Promise<{ tasks: number; gates: number }> {
  const tasks = await tx.query<{ task_id: string; attempt: number; interruptions: number }>(sql`
    select task_id, attempt, interruptions from tasks where state = 'RUNNING' and ${whose} order by task_id for update`);
  for (const { task_id, attempt, interruptions } of tasks) {
    const next = afterFailure('interrupted', { interruptions, retryCount: 0, maxRetries: 0 }, () => 0);
    if (next.to === 'FAILED') {
      const rows = toRows([task_id], next.reason, { cause: reason });
      await transition(tx, { kind: 'task', from: ['RUNNING'], to: 'FAILED', rows, actor: 'reconciler' });
      await cancelDependants(tx, [task_id]);
    } else {
      await transition(tx, {
        kind: 'task',
        from: ['RUNNING'],
        to: 'QUEUED',
        rows: toRows([task_id], reason),
        actor: 'reconciler',
        set: sql`, interruptions = t.interruptions + 1, dispatched_at = null, queued_at = now()`,
      });
    }
    await freeProbes(tx, [{ taskId: task_id, attempt }]);
  }
  const gates = await tx.query<{ gate_id: string }>(sql`
    select gate_id from test_gates where state = 'RUNNING' and ${whose}`);
  const lost = await failGates(tx, {
    gateIds: gates.map(({ gate_id }) => gate_id),
    outcome: 'lost',
    actor: 'reconciler',
  });
  return { tasks: tasks.length, gates: lost.length };
}
