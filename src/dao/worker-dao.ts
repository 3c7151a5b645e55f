import { sql } from '../database/database.ts';
import type { WorkerState } from '../domain/lifecycles/worker.ts';
import { Worker, type WorkerRow } from '../entities/worker.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class WorkerDao extends BaseDao<WorkerRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Worker, key: 'worker_id', noun: 'worker', idPrefix: 'wrk' });
  }

  findByState(state: WorkerState): Promise<WorkerRow[]> {
    return this.findBy({ state });
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
