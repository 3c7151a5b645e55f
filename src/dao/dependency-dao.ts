import {
  TaskDependency,
  type TaskDependencyRow,
  WorkstreamDependency,
  type WorkstreamDependencyRow,
} from '../entities/dependency.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class TaskDependencyDao extends BaseDao<TaskDependencyRow, { task_id: string; depends_on_id: string }> {
  constructor(source: EntitySource) {
    super(source, { schema: TaskDependency, key: 'task_id', noun: 'dependency' });
  }

  findByTask(taskId: string): Promise<TaskDependencyRow[]> {
    return this.findBy({ task_id: taskId });
  }
}

export class WorkstreamDependencyDao extends BaseDao<
  WorkstreamDependencyRow,
  { workstream_id: string; depends_on_id: string }
> {
  constructor(source: EntitySource) {
    super(source, { schema: WorkstreamDependency, key: 'workstream_id', noun: 'dependency' });
  }

  findByWorkstream(workstreamId: string): Promise<WorkstreamDependencyRow[]> {
    return this.findBy({ workstream_id: workstreamId });
  }
}
