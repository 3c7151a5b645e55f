import type { WorkerState } from '../contract/states.ts';
import { sql } from '../database/database.ts';
import type { GateValues } from '../domain/gates-in-force.ts';
import { Worker, type WorkerRow } from '../entities/worker.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class WorkerDao extends BaseDao<WorkerRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Worker, key: 'worker_id', noun: 'worker', idPrefix: 'wrk' });
  }

  findByState(state: WorkerState): Promise<WorkerRow[]> {
    return this.findBy({ state });
  }

  /**
   * Returns families and pools with work that was dispatched more than `olderThanMs` ago and that no worker has
   * claimed.
   */
  findWaitingWork(
    pools: readonly string[],
    olderThanMs: number,
  ): Promise<{ family: 'tasks' | 'gates'; pool: string }[]> {
    const waits = sql`pool = any (${[...pools]}::text[])
      and dispatched_at < now() - make_interval(secs => ${olderThanMs / 1000}::float8)`;
    return this.rows(sql`
      select 'tasks' as family, pool from tasks where state = 'QUEUED' and ${waits}
      union select 'gates', pool from test_gates where state = 'PENDING' and ${waits}`);
  }

  /** Sums the writes that fences refused, over all workers in the ledger. */
  async countRefusedWrites(): Promise<number> {
    const [row] = await this.rows<{ n: number }>(sql`select coalesce(sum(refused_writes), 0)::int as n from workers`);
    return row!.n;
  }

  /** Counts living workers of a pool that take nothing although work is waiting. */
  async countStarving(pool: string): Promise<number> {
    const [row] = await this.rows<{ n: number }>(sql`
      select count(*)::int as n from workers
      where state in ('IDLE', 'BUSY') and starving_since is not null and ${pool} = any (pools)`);
    return row!.n;
  }

  /** Counts living workers of a pool that take nothing because their data folders are over the budget of their disks. */
  async countOverDisk(pool: string): Promise<number> {
    const [row] = await this.rows<{ n: number }>(sql`
      select count(*)::int as n from workers
      where state in ('IDLE', 'BUSY') and over_disk_since is not null and ${pool} = any (pools)`);
    return row!.n;
  }

  /** Returns the pools of living workers that take nothing because their disks are over their budgets. */
  async poolsOverDisk(): Promise<string[]> {
    const rows = await this.rows<{ pool: string }>(sql`
      select distinct unnest(pools) as pool from workers where state in ('IDLE', 'BUSY') and over_disk_since is not null`);
    return rows.map(({ pool }) => pool);
  }

  /** Counts living workers and those of them that starve, and tells whether any work has waited for 10 s. */
  async consuming(): Promise<{ living: number; starving: number; waiting: boolean }> {
    const [row] = await this.rows<{ living: number; starving: number; waiting: boolean }>(sql`
      select count(*)::int as living, count(starving_since)::int as starving,
             exists (select 1 from tasks where state = 'QUEUED' and updated_at < now() - interval '10 seconds')
             or exists (select 1 from test_gates where state = 'PENDING' and updated_at < now() - interval '10 seconds')
               as waiting
      from workers where state in ('IDLE', 'BUSY')`);
    return row!;
  }

  /** Counts living workers that confine their children, and living workers that do not. */
  async confinement(): Promise<{ confined: number; unconfined: number }> {
    const [row] = await this.rows<{ confined: number; unconfined: number }>(sql`
      select count(*) filter (where confinement = 'bubblewrap')::int as confined,
             count(*) filter (where confinement <> 'bubblewrap')::int as unconfined
      from workers where state in ('IDLE', 'BUSY')`);
    return row!;
  }

  /**
   * Returns hashes of the variables that most living workers give to the gates of a repository; if none lives, those of
   * the newest worker. Only workers that run gates of these pools count.
   */
  async gateValues(url: string, pools: readonly string[]): Promise<GateValues> {
    const [row] = await this.rows<{ values: GateValues }>(sql`
      select gate_values -> ${url}::text as values from workers
      where gate_slots > 0 and pools && ${[...pools]}::text[] and jsonb_exists(gate_values, ${url}::text)
      group by 1
      order by count(*) filter (where state in ('IDLE', 'BUSY')) desc, max(created_at) desc limit 1`);
    return row?.values ?? {};
  }

  /** Returns the gate slots of living workers in the pool that offers most, and the clock of the database. */
  async offeredGateSlots(pools: readonly string[]): Promise<{ slots: number; nowMs: number }> {
    const [row] = await this.rows<{ slots: number; nowMs: number }>(sql`
      select coalesce(max(slots), 0)::int as slots, (extract(epoch from now()) * 1000)::float8 as "nowMs" from (
        select pool, sum(w.gate_slots) as slots from workers w, unnest(w.pools) as pool
        where w.state in ('IDLE', 'BUSY') and not w.draining and pool = any (${[...pools]}::text[]) group by pool
      ) offered`);
    return row!;
  }
}
