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

  /** Families and pools in which something was dispatched `olderThanMs` ago and nobody has taken it. */
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

  /** By workers that are on record: writes of attempts that were not theirs any more. */
  async countRefusedWrites(): Promise<number> {
    const [row] = await this.rows<{ n: number }>(sql`select coalesce(sum(refused_writes), 0)::int as n from workers`);
    return row!.n;
  }

  /** Workers of a pool that take nothing though work waits. */
  async countStarving(pool: string): Promise<number> {
    const [row] = await this.rows<{ n: number }>(sql`
      select count(*)::int as n from workers
      where state in ('IDLE', 'BUSY') and starving_since is not null and ${pool} = any (pools)`);
    return row!.n;
  }

  /** How many workers live, how many of those take no work though some waits for them, and whether work waits at all. */
  async consuming(): Promise<{ living: number; starving: number; waiting: boolean }> {
    const [row] = await this.rows<{ living: number; starving: number; waiting: boolean }>(sql`
      select count(*)::int as living, count(starving_since)::int as starving,
             exists (select 1 from tasks where state = 'QUEUED' and updated_at < now() - interval '10 seconds')
             or exists (select 1 from test_gates where state = 'PENDING' and updated_at < now() - interval '10 seconds')
               as waiting
      from workers where state in ('IDLE', 'BUSY')`);
    return row!;
  }

  /** How many living workers keep their children apart from the machine, and how many do not. */
  async confinement(): Promise<{ confined: number; unconfined: number }> {
    const [row] = await this.rows<{ confined: number; unconfined: number }>(sql`
      select count(*) filter (where confinement = 'bubblewrap')::int as confined,
             count(*) filter (where confinement <> 'bubblewrap')::int as unconfined
      from workers where state in ('IDLE', 'BUSY')`);
    return row!;
  }

  /**
   * What the variables hold that most living workers give to the gates of a repository; where none lives, what the last one
   * gave. Only workers that run gates of these pools count.
   */
  async gateValues(url: string, pools: readonly string[]): Promise<GateValues> {
    const [row] = await this.rows<{ values: GateValues }>(sql`
      select gate_values -> ${url}::text as values from workers
      where gate_slots > 0 and pools && ${[...pools]}::text[] and jsonb_exists(gate_values, ${url}::text)
      group by 1
      order by count(*) filter (where state in ('IDLE', 'BUSY')) desc, max(created_at) desc limit 1`);
    return row?.values ?? {};
  }

  /** Slots for gates that living workers offer, in the pool that offers most; and the database's clock. */
  async offeredGateSlots(pools: readonly string[]): Promise<{ slots: number; nowMs: number }> {
    const [row] = await this.rows<{ slots: number; nowMs: number }>(sql`
      select coalesce(max(slots), 0)::int as slots, (extract(epoch from now()) * 1000)::float8 as "nowMs" from (
        select pool, sum(w.gate_slots) as slots from workers w, unnest(w.pools) as pool
        where w.state in ('IDLE', 'BUSY') and not w.draining and pool = any (${[...pools]}::text[]) group by pool
      ) offered`);
    return row!;
  }
}
