import type { PatchState } from '../contract/states.ts';
import { sql } from '../database/database.ts';
import { Patch, type PatchRow } from '../entities/patch.ts';
import { BaseDao, type EntitySource, type Page } from './base-dao.ts';

export interface PatchFilter {
  run?: string | undefined;
  task?: string | undefined;
  state?: PatchState | undefined;
}

/** Columns that ordering, composing and judging patches need; never the bytes of the change. */
export type QueuedPatchRow = Pick<
  PatchRow,
  | 'patch_id'
  | 'task_id'
  | 'base_commit'
  | 'commit_id'
  | 'message'
  | 'author_name'
  | 'author_email'
  | 'scope'
  | 'size_bytes'
  | 'binary'
  | 'land'
  | 'priority'
> & { run_id: string; staged_at: Date; authored_at: Date; approved_at: Date | null };

const QUEUE_COLUMNS = sql.raw(
  `patch_id, task_id, run_id, base_commit, commit_id, message, author_name, author_email, authored_at, staged_at,
   scope, size_bytes, "binary", land, priority, approved_at`,
);

/** Raw statements give instants as text. */
function withInstants(row: QueuedPatchRow): QueuedPatchRow {
  const { staged_at, authored_at, approved_at } = row;
  return {
    ...row,
    staged_at: new Date(staged_at),
    authored_at: new Date(authored_at),
    approved_at: approved_at === null ? null : new Date(approved_at),
  };
}

export class PatchDao extends BaseDao<PatchRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Patch, key: 'patch_id', noun: 'patch', idPrefix: 'patch', heavy: ['content', 'diff'] });
  }

  findByState(state: PatchState): Promise<PatchRow[]> {
    return this.findBy({ state });
  }

  /** Returns patches that the remote refused (BLOCKED, `push_refused`) since a patch last landed on the target. */
  findRefusedSinceLanding(targetId: string): Promise<{ patch_id: string }[]> {
    return this.rows(sql`
      select p.patch_id from patches p
      where p.target_id = ${targetId} and p.state = 'BLOCKED' and p.reason = 'push_refused'
        and exists (
          select 1 from state_transitions s
          where s.kind = 'patch' and s.entity_id = p.patch_id and s.to_state = 'BLOCKED' and s.reason = 'push_refused'
            and s.created_at > coalesce(
              (select max(l.applied_at) from patches l where l.target_id = ${targetId}), '-infinity'))
      order by p.patch_id`);
  }

  /** Returns the row without the bytes of the change. Throws `entity.not_found`. */
  async getFacts(patchId: string): Promise<PatchRow> {
    const [row] = await this.findBy({ patch_id: patchId });
    if (row === undefined) throw this.notFound(patchId);
    return row;
  }

  findByTask(taskId: string): Promise<PatchRow[]> {
    return this.findBy({ task_id: taskId });
  }

  findByRun(runId: string): Promise<PatchRow[]> {
    return this.findBy({ run_id: runId });
  }

  /** Returns the landing queue of a target: highest priority first, then longest staged. */
  async findQueue(targetId: string, limit: number): Promise<QueuedPatchRow[]> {
    const rows = await this.rows<QueuedPatchRow>(sql`
      select ${QUEUE_COLUMNS} from patches where target_id = ${targetId} and state = 'STAGED' and intent_id is null
      order by priority desc, staged_at, patch_id limit ${limit}`);
    return rows.map(withInstants);
  }

  /** Returns these patches in whatever state. Leaves out patches that were deleted or never staged. */
  async findComposable(patchIds: readonly string[]): Promise<QueuedPatchRow[]> {
    const rows = await this.rows<QueuedPatchRow>(sql`
      select ${QUEUE_COLUMNS} from patches where patch_id = any (${[...patchIds]}::text[]) and staged_at is not null`);
    return rows.map(withInstants);
  }

  /** Returns the change as a git diff; empty when there is none. */
  async readDiff(patchId: string): Promise<Buffer> {
    return (await this.get(patchId)).diff ?? Buffer.alloc(0);
  }

  /** Returns the times at which patches landed, later than `since`. */
  async findAppliedSince(targetId: string, since: Date): Promise<Date[]> {
    const rows = await this.rows<{ applied_at: string }>(sql`
      select applied_at from patches where target_id = ${targetId} and applied_at > ${since.toISOString()}::timestamptz`);
    return rows.map(({ applied_at }) => new Date(applied_at));
  }

  pageOf({ run, task, state }: PatchFilter, page: Page): Promise<PatchRow[]> {
    const criteria = Object.entries({ run_id: run, task_id: task, state }).filter(([, value]) => value !== undefined);
    return this.page(Object.fromEntries(criteria), page);
  }
}
