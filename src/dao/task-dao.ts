import type { TaskState } from '../domain/lifecycles/task.ts';
import { Task, type TaskRow } from '../entities/task.ts';
import { BaseDao, type EntitySource, type Page } from './base-dao.ts';

export interface TaskFilter {
  run?: string;
  state?: TaskState;
  tool?: string;
}

export class TaskDao extends BaseDao<TaskRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Task, key: 'task_id', noun: 'task', idPrefix: 'task' });
  }

  findByState(state: TaskState): Promise<TaskRow[]> {
    return this.findBy({ state });
  }

  findByWorkstream(workstreamId: string): Promise<TaskRow[]> {
    return this.coded((em) => em.find(Task, { workstream_id: workstreamId }, { orderBy: { position: 'asc' } }));
  }

  findByWorker(workerId: string): Promise<TaskRow[]> {
    return this.findBy({ worker_id: workerId });
  }

  findByRun(runId: string): Promise<TaskRow[]> {
    return this.coded((em) => em.find(Task, { run_id: runId }, { orderBy: { task_id: 'asc' } }));
  }

  pageOf({ run, state, tool }: TaskFilter, page: Page): Promise<TaskRow[]> {
    const criteria = Object.entries({ run_id: run, state, tool }).filter(([, value]) => value !== undefined);
    return this.page(Object.fromEntries(criteria), page);
  }
}
