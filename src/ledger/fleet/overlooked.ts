import { type Reader, sql } from '../../database/database.ts';
import type { WokenStage } from '../../domain/wake-up.ts';
import { WAITS_TO_LAND } from '../landing/stop-patches.ts';

/**
 * Returns the stages that have something to do, in one statement. A wake-up may be lost, so the scheduler asks each
 * second.
 */
export async function stagesWithWork(reader: Reader): Promise<LookedFor[]> {
  const [found] = await reader.query<Record<'starts' | 'dispatches' | 'endings', boolean>>(sql`
    select
      exists (select 1 from runs where state = 'INITIALIZING')
        or exists (select 1 from workstreams where starting and state = 'RUNNING') as starts,
      -- The indexes tasks_to_admit, tasks_to_retry and test_gates_state. Where many rows match, only the order of an
      -- index keeps the planner from a scan that would end at its first hit, wherever that is. "exists" forgets it.
      (select true from tasks where state = 'QUEUED' and dispatched_at is null
       order by pool, ranked_at, task_id limit 1) is not null
        or (select true from tasks where state = 'RETRYING' and (available_at is null or available_at <= now())
            order by available_at limit 1) is not null
        or exists (select 1 from test_gates where state = 'PENDING' and dispatched_at is null) as dispatches,
      -- The indexes tasks_to_roll_up, workstreams_to_roll_up, patches_state, workstreams_state and runs_state.
      (select true from tasks where not rolled_up and state in ('COMPLETED', 'FAILED', 'CANCELLED')
       order by task_id limit 1) is not null
        or exists (select 1 from workstreams
                   where not rolled_up and state in ('COMPLETED', 'FAILED', 'CANCELLED', 'ABANDONED'))
        or exists (select 1 from patches p join tasks t on t.task_id = p.task_id
                   where p.state = 'PENDING' and t.state in ('FAILED', 'CANCELLED'))
        or exists (select 1 from workstreams w join runs r on r.run_id = w.run_id
                   where w.state = 'RUNNING' and w.tasks_ended >= w.tasks_total and r.state = 'RUNNING')
        or exists (select 1 from runs where state = 'RUNNING' and workstreams_total > 0
                                        and workstreams_ended >= workstreams_total) as endings`);
  const { starts, dispatches, endings } = found!;
  const stages = { 'start-runs': starts, dispatch: dispatches, 'roll-up': endings } satisfies Record<
    LookedFor,
    boolean
  >;
  return (Object.keys(stages) as LookedFor[]).filter((stage) => stages[stage]);
}

/** Every stage but the landing coordinators, which look for themselves. */
type LookedFor = Exclude<WokenStage, 'landing'>;

export interface RepairTimes {
  redispatchAfterMs: number;
  unhealthyAfterMs: number;
}

/**
 * Returns whether any dispatch, patch or queued task is overdue, and whether any worker is silent or a lease expired,
 * in one statement. Most rounds of the reconciler end with this answer. As above, tasks are read in the order of the
 * partial index that serves: tasks_in_flight, patches_to_expire and tasks_queue_expiry.
 */
export async function overdue(
  reader: Reader,
  { redispatchAfterMs, unhealthyAfterMs }: RepairTimes,
): Promise<{ work: boolean; workers: boolean }> {
  const before = (ms: number) => sql`now() - make_interval(secs => ${ms / 1000}::float8)`;
  const ended = sql`select worker_id from workers where state in ('DEAD', 'STOPPED')`;
  const [found] = await reader.query<{ work: boolean; workers: boolean }>(sql`
    select
      (select true from tasks where state = 'QUEUED' and dispatched_at < ${before(redispatchAfterMs)}
       order by tool, dispatched_at limit 1) is not null
        or exists (select 1 from test_gates where state = 'PENDING' and dispatched_at < ${before(redispatchAfterMs)})
        or (select true from patches
            where ${WAITS_TO_LAND} and expires_at < now()
            order by expires_at limit 1) is not null
        or (select true from tasks where state = 'QUEUED' and queue_expires_at < now()
            order by queue_expires_at limit 1) is not null as work,
      exists (select 1 from workers where state in ('IDLE', 'BUSY', 'UNHEALTHY')
                                      and last_heartbeat < ${before(unhealthyAfterMs)})
        or (select true from tasks
            where state = 'RUNNING' and (lease_expires_at < now() or worker_id is null or worker_id in (${ended}))
            order by tool, dispatched_at limit 1) is not null
        or exists (select 1 from test_gates
                   where state = 'RUNNING'
                     and (lease_expires_at < now() or worker_id is null or worker_id in (${ended}))) as workers`);
  return found!;
}
