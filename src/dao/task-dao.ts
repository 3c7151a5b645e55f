import type { TaskState } from '../contract/states.ts';
import { sql } from '../database/database.ts';
import { liveStates } from '../domain/lifecycle.ts';
import { Task, type TaskRow } from '../entities/task.ts';
import { BaseDao, type EntitySource, type Page } from './base-dao.ts';

/** Selects the tasks of a run, or of one of its workstreams. */
export type TasksOf = { run_id: string } | { workstream_id: string };

export interface TaskFilter {
  run?: string | undefined;
  state?: TaskState | undefined;
  tool?: string | undefined;
}

export class TaskDao extends BaseDao<TaskRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Task, key: 'task_id', noun: 'task', idPrefix: 'task', heavy: ['input'] });
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
    return this.findBy({ run_id: runId });
  }

  /** Returns tasks that have not ended, oldest first. */
  findLive(of: TasksOf, limit: number): Promise<TaskRow[]> {
    const criteria = { ...of, state: { $in: liveStates('task') } };
    return this.coded((em) => em.find(Task, criteria, { limit, orderBy: { task_id: 'asc' } }));
  }

  /** States without tasks are absent. */
  async countByState(of: TasksOf): Promise<Partial<Record<TaskState, number>>> {
    const [[column, id]] = Object.entries(of) as [[string, string]];
    const rows = await this.rows<{ state: TaskState; n: number }>(sql`
      select state, count(*)::int as n from tasks where ${sql.ref(column)} = ${id} group by state`);
    return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
  }

  /** Counts the waiting tasks of its pool that are ranked before it. */
  async countRankedBefore({ task_id, pool, ranked_at }: TaskRow): Promise<number> {
    const [row] = await this.rows<{ n: number }>(sql`
      select count(*)::int as n from tasks
      where state = 'QUEUED' and dispatched_at is null and pool = ${pool}
        and (ranked_at, task_id) < (${ranked_at?.toISOString() ?? null}::timestamptz, ${task_id})`);
    return row!.n;
  }

  /** Counts tasks that ended within the window, by pool and state. */
  endedByPool(windowSeconds: number): Promise<{ pool: string; state: TaskState; n: number }[]> {
    return this.rows(sql`
      select pool, state, count(*)::int as n from tasks
      where completed_at > now() - make_interval(secs => ${windowSeconds}) group by pool, state order by pool, state`);
  }

  /** Counts queued tasks that are not dispatched yet, by pool. */
  depthByPool(): Promise<{ pool: string; waiting: number; oldest_seconds: number }[]> {
    return this.rows(sql`
      select pool, count(*)::int as waiting, extract(epoch from now() - min(queued_at))::float8 as oldest_seconds
      from tasks where state = 'QUEUED' and dispatched_at is null group by pool order by pool`);
  }

  /** Null when the task is not dispatched. */
  async secondsSinceDispatch(taskId: string): Promise<number | null> {
    const [row] = await this.rows<{ seconds: number | null }>(sql`
      select extract(epoch from now() - dispatched_at)::float8 as seconds from tasks where task_id = ${taskId}`);
    return row?.seconds ?? null;
  }

  pageOf({ run, state, tool }: TaskFilter, page: Page): Promise<TaskRow[]> {
    const criteria = Object.entries({ run_id: run, state, tool }).filter(([, value]) => value !== undefined);
    return this.page(Object.fromEntries(criteria), page);
  }
}
