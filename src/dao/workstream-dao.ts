import type { WorkstreamState } from '../contract/states.ts';
import { Workstream, type WorkstreamRow } from '../entities/workstream.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class WorkstreamDao extends BaseDao<WorkstreamRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Workstream, key: 'workstream_id', noun: 'workstream', idPrefix: 'ws' });
  }

  findByState(state: WorkstreamState): Promise<WorkstreamRow[]> {
    return this.findBy({ state });
  }

  /** Returns them in the order of the run spec. */
  findByRun(runId: string): Promise<WorkstreamRow[]> {
    return this.coded((em) => em.find(Workstream, { run_id: runId }, { orderBy: { position: 'asc' } }));
  }
}
