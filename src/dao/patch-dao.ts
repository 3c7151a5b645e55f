import type { PatchState } from '../domain/lifecycles/patch.ts';
import { Patch, type PatchRow } from '../entities/patch.ts';
import { BaseDao, type EntitySource, type Page } from './base-dao.ts';

export interface PatchFilter {
  run?: string;
  task?: string;
  state?: PatchState;
}

export class PatchDao extends BaseDao<PatchRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Patch, key: 'patch_id', noun: 'patch', idPrefix: 'patch' });
  }

  findByState(state: PatchState): Promise<PatchRow[]> {
    return this.findBy({ state });
  }

  findByTask(taskId: string): Promise<PatchRow[]> {
    return this.findBy({ task_id: taskId });
  }

  /** Without the bytes of the change. */
  findByRun(runId: string): Promise<PatchRow[]> {
    return this.coded((em) =>
      em.find(Patch, { run_id: runId }, { exclude: ['content', 'diff'], orderBy: { patch_id: 'asc' } }),
    ) as Promise<PatchRow[]>;
  }

  /** The landing queue of a target: highest priority first, then longest staged. Without the bytes. */
  findQueue(targetId: string, limit: number): Promise<PatchRow[]> {
    return this.coded((em) =>
      em.find(
        Patch,
        { target_id: targetId, state: 'STAGED' },
        { exclude: ['content'], limit, orderBy: { priority: 'desc', staged_at: 'asc', patch_id: 'asc' } },
      ),
    ) as Promise<PatchRow[]>;
  }

  pageOf({ run, task, state }: PatchFilter, page: Page): Promise<PatchRow[]> {
    const criteria = Object.entries({ run_id: run, task_id: task, state }).filter(([, value]) => value !== undefined);
    return this.page(Object.fromEntries(criteria), page);
  }
}
