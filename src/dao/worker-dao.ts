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
}
