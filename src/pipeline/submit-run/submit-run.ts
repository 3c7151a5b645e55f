import { createHash } from 'node:crypto';
import { SluiceError } from '../../contract/errors.ts';
import { patchInputSchema } from '../../contract/patch-input.ts';
import type { RunSpec } from '../../contract/run-spec.ts';
import type { RunDao } from '../../dao/run-dao.ts';
import type { RunRow } from '../../entities/run.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { insertRun, type NewTask, type NewWorkstream, type Submission } from '../../ledger/runs/submit-run.ts';
import { newId } from '../../lib/id.ts';
import { type ValidateRunDeps, validateRun } from './validate-run.ts';

export interface SubmitRunDeps extends ValidateRunDeps {
  ledger: Ledger;
  runs: RunDao;
}

export interface SubmitOrder {
  spec: unknown;
  idempotencyKey?: string | undefined;
  actor: string;
  /** When false, its priority may not be above 0, and it cancels no runs of other callers. */
  outranks: boolean;
  /** The landed patch that the run's only patch reverts. */
  revertsPatchId?: string | undefined;
}

/**
 * Writes a run into the ledger. The same key and spec return the same run again; the same key with another spec throws
 * `idempotency.mismatch`.
 */
export async function submitRun(
  deps: SubmitRunDeps,
  { spec: document, idempotencyKey, actor, outranks, revertsPatchId }: SubmitOrder,
): Promise<{ run: RunRow; created: boolean }> {
  const spec = validateRun(deps, document);
  if (spec.priority > 0 && !outranks) {
    throw new SluiceError('auth.refused', 'a priority above 0 needs the scope operate', {
      facts: { needed: 'operate' },
    });
  }
  const digest = createHash('sha256').update(JSON.stringify(spec)).digest('hex');
  const known = await findByKey(deps, idempotencyKey, digest);
  if (known !== undefined) return { run: known, created: false };
  const submission = toSubmission(deps, spec, { digest, idempotencyKey, actor, outranks, revertsPatchId });
  try {
    await deps.ledger.write((tx) => insertRun(tx, submission, actor));
  } catch (error) {
    // Two submissions with one key at the same moment: the other one won.
    const winner = await findByKey(deps, idempotencyKey, digest);
    if (winner !== undefined) return { run: winner, created: false };
    throw error;
  }
  return { run: await deps.runs.get(submission.run.run_id), created: true };
}

async function findByKey(
  { runs }: SubmitRunDeps,
  key: string | undefined,
  digest: string,
): Promise<RunRow | undefined> {
  if (key === undefined) return undefined;
  const run = await runs.findByIdempotencyKey(key);
  if (run !== undefined && run.spec_digest !== digest) {
    throw new SluiceError('idempotency.mismatch', `the key ${key} was used for another run spec`, {
      facts: { run_id: run.run_id },
    });
  }
  return run;
}

function toSubmission(
  { tools, repositories }: SubmitRunDeps,
  spec: RunSpec,
  order: Pick<SubmitOrder, 'idempotencyKey' | 'actor' | 'outranks' | 'revertsPatchId'> & { digest: string },
): Submission {
  const { name: repository, url } = repositories.resolve(spec.repository);
  const target = { target_id: `${repository}@${spec.branch}`, repository, branch: spec.branch, url };
  const workstreamIds = new Map(spec.workstreams.map(({ name }) => [name, newId('ws')]));
  const workstreams = spec.workstreams.map(
    (workstream, position): NewWorkstream => ({
      workstream_id: workstreamIds.get(workstream.name)!,
      name: workstream.name,
      position,
      critical: workstream.critical,
      depends_on: idsOf(workstream.depends_on, workstreamIds),
    }),
  );
  const tasks = spec.workstreams.flatMap((workstream) => {
    const taskIds = new Map(workstream.tasks.map(({ name }) => [name, newId('task')]));
    return workstream.tasks.map(
      (task, position): NewTask => ({
        task_id: taskIds.get(task.name)!,
        workstream_id: workstreamIds.get(workstream.name)!,
        name: task.name,
        position,
        tool: task.tool,
        pool: tools.find(task.tool)?.pool ?? 'default',
        input: task.tool === 'patch' ? storablePatchInput(task.input) : task.input,
        scope: task.scope ?? null,
        message: task.message ?? null,
        timeout_seconds: task.timeout_seconds ?? null,
        queue_timeout_seconds: task.queue_timeout_seconds ?? null,
        budget_usd: task.budget?.usd ?? null,
        max_retries: task.max_retries,
        depends_on: idsOf(task.depends_on, taskIds),
        patch: task.tool === 'patch' ? recordOf(task.input, order.revertsPatchId) : null,
      }),
    );
  });
  return {
    target,
    run: {
      run_id: newId('run'),
      name: spec.name,
      target_id: target.target_id,
      priority: spec.priority,
      labels: spec.labels,
      extra_gates: spec.extra_gates,
      land: spec.land,
      idempotency_key: order.idempotencyKey ?? null,
      spec_digest: order.digest,
      submitted_by: order.actor,
      supersedes_others: order.outranks,
      expires_in_seconds: spec.expires_in_seconds ?? null,
      concurrency_key: spec.concurrency?.key ?? null,
      concurrency_max: spec.concurrency?.max ?? null,
      supersede: spec.concurrency?.supersede ?? false,
      budget_usd: spec.budget?.usd ?? null,
    },
    workstreams,
    tasks,
  };
}

function idsOf(names: readonly string[], ids: ReadonlyMap<string, string>): string[] {
  return [...new Set(names)].map((name) => ids.get(name)!);
}

function recordOf(input: Record<string, unknown>, revertsPatchId: string | undefined): NewTask['patch'] {
  const { format } = patchInputSchema.parse(input);
  return { patch_id: newId('patch'), patch_format: format, reverts_patch_id: revertsPatchId ?? null };
}

/**
 * PostgreSQL's jsonb takes no NUL and no lone surrogates. A diff may hold both, so such content is stored as base64.
 */
function storablePatchInput(input: Record<string, unknown>): Record<string, unknown> {
  const storable = (holder: Record<string, unknown>): Record<string, unknown> => {
    const { content, ...rest } = holder;
    if (typeof content !== 'string' || (!content.includes('\0') && content.isWellFormed())) return holder;
    return { ...rest, content_base64: Buffer.from(content, 'utf8').toString('base64') };
  };
  const files = Array.isArray(input.files) ? { files: input.files.map(storable) } : {};
  return { ...storable(input), ...files };
}
