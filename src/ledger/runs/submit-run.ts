import { signed } from '../../contract/order.ts';
import type { PatchFormat } from '../../contract/patch-input.ts';
import type { RunState, TaskState, WorkstreamState } from '../../contract/states.ts';
import { sql, type Tx } from '../../database/database.ts';
import type { RunRow } from '../../entities/run.ts';
import type { TaskRow } from '../../entities/task.ts';
import type { WorkstreamRow } from '../../entities/workstream.ts';
import { storableJson } from '../../lib/storable.ts';
import { recordCreated } from '../transition.ts';

/** Row of a new run by column; a column that is left out takes its default. */
export interface NewRun extends Partial<RunRow> {
  run_id: string;
  target_id: string;
  expires_in_seconds: number | null;
}

export interface NewWorkstream extends Partial<WorkstreamRow> {
  workstream_id: string;
  depends_on: string[];
}

export interface NewTask extends Partial<TaskRow> {
  task_id: string;
  workstream_id: string;
  depends_on: string[];
  /** A ready-made patch is stored at submission and stays PENDING until a worker has made a commit of it. */
  patch: { patch_id: string; patch_format: PatchFormat; reverts_patch_id: string | null } | null;
}

export interface NewTarget {
  target_id: string;
  repository: string;
  branch: string;
  url: string;
}

export interface Submission {
  target: NewTarget;
  run: NewRun;
  workstreams: readonly NewWorkstream[];
  tasks: readonly NewTask[];
}

const TASKS_PER_STATEMENT = 2_000;

/** Inserts a run as INITIALIZING, with its workstreams, tasks and ready-made patches as PENDING. */
export async function insertRun(tx: Tx, submission: Submission, submittedBy: string): Promise<void> {
  const { actor } = signed({ actor: submittedBy });
  await upsertTarget(tx, submission.target);
  await insertRunRow(tx, submission);
  await insertWorkstreams(tx, submission);
  for (let start = 0; start < submission.tasks.length; start += TASKS_PER_STATEMENT) {
    await insertTasks(tx, submission, submission.tasks.slice(start, start + TASKS_PER_STATEMENT));
  }
  await insertDependencies(tx, submission);
  const runId = submission.run.run_id;
  await recordCreated(tx, { kind: 'run', state: 'INITIALIZING', ids: [runId], runId, actor });
  const workstreamIds = submission.workstreams.map(({ workstream_id }) => workstream_id);
  await recordCreated(tx, { kind: 'workstream', state: 'PENDING', ids: workstreamIds, runId, actor });
  const taskIds = submission.tasks.map(({ task_id }) => task_id);
  await recordCreated(tx, { kind: 'task', state: 'PENDING', ids: taskIds, runId, actor });
  const patchIds = await insertPatches(tx, submission.tasks);
  await recordCreated(tx, { kind: 'patch', state: 'PENDING', ids: patchIds, runId, actor });
}

async function upsertTarget(tx: Tx, target: NewTarget): Promise<void> {
  await tx.query(sql`
    insert into targets (target_id, repository, branch, url)
    values (${target.target_id}, ${target.repository}, ${target.branch}, ${target.url})
    on conflict (target_id) do update set url = excluded.url, updated_at = now() where targets.url <> excluded.url`);
}

async function insertRunRow(tx: Tx, { run, workstreams, tasks }: Submission): Promise<void> {
  const { expires_in_seconds, ...row } = run;
  const counts = { workstreams_total: workstreams.length, tasks_total: tasks.length };
  await insertRows(tx, 'runs', [{ ...row, ...counts, state: 'INITIALIZING' satisfies RunState }]);
  if (expires_in_seconds === null) return;
  // Use the database's clock, because the expiry is checked against it.
  await tx.query(sql`
    update runs set expires_at = now() + make_interval(secs => ${expires_in_seconds}::int) where run_id = ${run.run_id}`);
}

async function insertWorkstreams(tx: Tx, { run, workstreams, tasks }: Submission): Promise<void> {
  const counts = new Map<string, number>();
  for (const { workstream_id } of tasks) counts.set(workstream_id, (counts.get(workstream_id) ?? 0) + 1);
  const rows = workstreams.map(({ depends_on, ...row }) => ({
    ...row,
    run_id: run.run_id,
    state: 'PENDING' satisfies WorkstreamState,
    open_dependencies: depends_on.length,
    tasks_total: counts.get(row.workstream_id) ?? 0,
  }));
  await insertRows(tx, 'workstreams', rows);
}

async function insertTasks(tx: Tx, { run }: Submission, tasks: readonly NewTask[]): Promise<void> {
  const rows = tasks.map(({ depends_on, patch: _patch, ...row }) => ({
    ...row,
    run_id: run.run_id,
    target_id: run.target_id,
    priority: run.priority,
    state: 'PENDING' satisfies TaskState,
    open_dependencies: depends_on.length,
  }));
  await insertRows(tx, 'tasks', rows);
}

/** Inserts rows of the same shape. Their keys are column names, and the table's column types convert the values. */
async function insertRows(tx: Tx, name: 'runs' | 'workstreams' | 'tasks', rows: readonly object[]): Promise<void> {
  const table = sql.table(name);
  const columns = sql.join(Object.keys(rows[0] ?? {}).map((column) => sql.ref(column)));
  await tx.query(sql`
    insert into ${table} (${columns})
    select ${columns} from jsonb_populate_recordset(null::${table}, ${storableJson(rows)}::jsonb)`);
}

async function insertPatches(tx: Tx, tasks: readonly NewTask[]): Promise<string[]> {
  const rows = tasks.flatMap(({ task_id, patch }) => (patch === null ? [] : [{ task_id, ...patch }]));
  await tx.query(sql`
    insert into patches (patch_id, task_id, run_id, target_id, state, patch_format, scope, priority, land, message,
                         reverts_patch_id)
    select row.patch_id, t.task_id, t.run_id, t.target_id, 'PENDING', row.patch_format, t.scope, t.priority,
           r.land, coalesce(t.message, ''), row.reverts_patch_id
    from jsonb_to_recordset(${storableJson(rows)}::jsonb) as row(
      task_id text, patch_id text, patch_format text, reverts_patch_id text)
    join tasks t on t.task_id = row.task_id join runs r on r.run_id = t.run_id`);
  return rows.map(({ patch_id }) => patch_id);
}

async function insertDependencies(tx: Tx, { workstreams, tasks }: Submission): Promise<void> {
  const taskEdges = tasks.flatMap(({ task_id, depends_on }) => depends_on.map((on) => [task_id, on] as const));
  await tx.query(sql`
    insert into task_dependencies (task_id, depends_on_id)
    select * from unnest(${taskEdges.map(([from]) => from)}::text[], ${taskEdges.map(([, on]) => on)}::text[])`);
  const edges = workstreams.flatMap(({ workstream_id, depends_on }) =>
    depends_on.map((on) => [workstream_id, on] as const),
  );
  await tx.query(sql`
    insert into workstream_dependencies (workstream_id, depends_on_id)
    select * from unnest(${edges.map(([from]) => from)}::text[], ${edges.map(([, on]) => on)}::text[])`);
}
