import { signed } from '../../contract/order.ts';
import type { PatchFormat } from '../../contract/patch-input.ts';
import { sql, type Tx } from '../../database/database.ts';
import { storableJson } from '../../lib/storable.ts';
import { recordCreated } from '../transition.ts';

export interface NewRun {
  run_id: string;
  name: string;
  target_id: string;
  priority: number;
  labels: Record<string, string>;
  extra_gates: unknown[];
  land: boolean;
  idempotency_key: string | null;
  spec_digest: string;
  submitted_by: string;
  /** False: with `supersede` it ends older runs of the same submitter alone. */
  supersedes_others: boolean;
  expires_in_seconds: number | null;
  concurrency_key: string | null;
  concurrency_max: number | null;
  supersede: boolean;
  budget_usd: number | null;
}

export interface NewWorkstream {
  workstream_id: string;
  name: string;
  position: number;
  critical: boolean;
  depends_on: string[];
}

export interface NewTask {
  task_id: string;
  workstream_id: string;
  name: string;
  position: number;
  tool: string;
  pool: string;
  input: unknown;
  scope: string[] | null;
  message: string | null;
  timeout_seconds: number | null;
  queue_timeout_seconds: number | null;
  budget_usd: number | null;
  max_retries: number;
  depends_on: string[];
  /** A ready-made patch is on record from the start: PENDING until a worker has made it a commit. */
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

/** The whole run or nothing: INITIALIZING, its workstreams and tasks PENDING. */
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
  await tx.query(sql`
    insert into runs (run_id, state, name, target_id, priority, labels, extra_gates, land, idempotency_key, spec_digest,
                      submitted_by, supersedes_others, expires_at, concurrency_key, concurrency_max, supersede, budget_usd,
                      workstreams_total, tasks_total)
    values (${run.run_id}, 'INITIALIZING', ${run.name}, ${run.target_id}, ${run.priority},
            ${storableJson(run.labels)}::jsonb, ${storableJson(run.extra_gates)}::jsonb, ${run.land}, ${run.idempotency_key},
            ${run.spec_digest}, ${run.submitted_by}, ${run.supersedes_others}, now() + make_interval(secs => ${run.expires_in_seconds}::int),
            ${run.concurrency_key}, ${run.concurrency_max}, ${run.supersede}, ${run.budget_usd},
            ${workstreams.length}, ${tasks.length})`);
}

async function insertWorkstreams(tx: Tx, { run, workstreams, tasks }: Submission): Promise<void> {
  const counts = new Map<string, number>();
  for (const { workstream_id } of tasks) counts.set(workstream_id, (counts.get(workstream_id) ?? 0) + 1);
  const rows = workstreams.map((workstream) => ({
    ...workstream,
    open_dependencies: workstream.depends_on.length,
    tasks_total: counts.get(workstream.workstream_id) ?? 0,
  }));
  await tx.query(sql`
    insert into workstreams (workstream_id, run_id, state, name, position, critical, open_dependencies, tasks_total)
    select workstream_id, ${run.run_id}, 'PENDING', name, position, critical, open_dependencies, tasks_total
    from jsonb_to_recordset(${storableJson(rows)}::jsonb) as row(
      workstream_id text, name text, position int, critical boolean, open_dependencies int, tasks_total int)`);
}

async function insertTasks(tx: Tx, { run }: Submission, tasks: readonly NewTask[]): Promise<void> {
  const rows = tasks.map((task) => ({ ...task, open_dependencies: task.depends_on.length }));
  await tx.query(sql`
    insert into tasks (task_id, workstream_id, run_id, target_id, state, name, position, tool, pool, input, scope,
                       message, timeout_seconds, queue_timeout_seconds, budget_usd, max_retries, priority,
                       open_dependencies)
    select task_id, workstream_id, ${run.run_id}, ${run.target_id}, 'PENDING', name, position, tool, pool, input, scope,
           message, timeout_seconds, queue_timeout_seconds, budget_usd, max_retries, ${run.priority}, open_dependencies
    from jsonb_to_recordset(${storableJson(rows)}::jsonb) as row(
      task_id text, workstream_id text, name text, position int, tool text, pool text, input jsonb, scope text[],
      message text, timeout_seconds int, queue_timeout_seconds int, budget_usd float8, max_retries int,
      open_dependencies int)`);
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
