import { createHash } from 'node:crypto';
import { type Problem, SluiceError } from '../contract/errors.ts';
import { LIMITS } from '../contract/fields.ts';
import { describeProblems, guess, parseDocument, pathText } from '../contract/parse.ts';
import { patchBytes, patchInputSchema } from '../contract/patch-input.ts';
import { commandInputSchema, type RunSpec, runSpecSchema, type TaskSpec } from '../contract/run-spec.ts';
import type { RunDao } from '../dao/run-dao.ts';
import { graphProblems } from '../domain/spec-graph.ts';
import type { RunRow } from '../entities/run.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { type NewTask, type NewWorkstream, type Submission, submitRun as writeRun } from '../ledger/submit-run.ts';
import { newId } from '../lib/id.ts';
import type { RepositoryBook, Tools } from './ports.ts';

export interface SubmitRunDeps {
  ledger: Ledger;
  runs: RunDao;
  tools: Tools;
  repositories: RepositoryBook;
  allowCommands: boolean;
}

export interface SubmitOrder {
  spec: unknown;
  idempotencyKey?: string;
  actor: string;
  /** Its one patch takes that one back. */
  revertsPatchId?: string;
}

const OUR_TRAILER = /^sluice-(run|task|patch)\s*:/im;

/** The spec, checked whole; throws `spec.invalid` with every problem and its path. Writes nothing. */
export function validateRun(deps: SubmitRunDeps, document: unknown): RunSpec {
  const spec = parseDocument(runSpecSchema, document, { code: 'spec.invalid', what: 'run spec' });
  const problems = [
    ...unstorable(spec, []),
    ...graphProblems(spec),
    ...placeProblems(deps, spec),
    ...taskProblems(deps, spec),
  ];
  if (problems.length > 0) {
    throw new SluiceError('spec.invalid', `run spec: ${describeProblems(problems)}`, { problems });
  }
  return spec;
}

/**
 * Puts a run into the ledger. The same key and the same spec give the same run again; the same key and another spec throw
 * `idempotency.mismatch`.
 */
export async function submitRun(
  deps: SubmitRunDeps,
  { spec: document, idempotencyKey, actor, revertsPatchId }: SubmitOrder,
): Promise<{ run: RunRow; created: boolean }> {
  const spec = validateRun(deps, document);
  const digest = createHash('sha256').update(JSON.stringify(spec)).digest('hex');
  const known = await findByKey(deps, idempotencyKey, digest);
  if (known !== undefined) return { run: known, created: false };
  const submission = toSubmission(deps, spec, { digest, idempotencyKey, actor, revertsPatchId });
  try {
    await deps.ledger.write((tx) => writeRun(tx, submission, actor));
  } catch (error) {
    // Two submissions with one key at the same moment: the other one won.
    const winner = await findByKey(deps, idempotencyKey, digest);
    if (winner !== undefined) return { run: winner, created: false };
    throw error;
  }
  deps.ledger.hint('start-run');
  return { run: await deps.runs.get(submission.run.run_id), created: true };
}

/** Text that would not come back as it was. A patch's content may hold anything: it is kept as bytes. */
function unstorable(value: unknown, path: readonly PropertyKey[]): Problem[] {
  if (typeof value === 'string') {
    if (path.at(-1) === 'content' || (!value.includes('\0') && value.isWellFormed())) return [];
    return [{ path: pathText(path), message: 'holds NUL or a lone surrogate' }];
  }
  if (typeof value !== 'object' || value === null) return [];
  const entries = Array.isArray(value) ? value.entries() : Object.entries(value);
  return [...entries].flatMap(([key, item]) => unstorable(item, [...path, key]));
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

function placeProblems({ repositories, allowCommands }: SubmitRunDeps, spec: RunSpec): Problem[] {
  const problems: Problem[] = [];
  try {
    repositories.resolve(spec.repository);
  } catch (error) {
    problems.push({ path: 'repository', message: (error as Error).message });
  }
  if (spec.extra_gates.length > 0 && !allowCommands) {
    problems.push({ path: 'extra_gates', message: 'gates of a run are free commands: not allowed here' });
  }
  const tasks = spec.workstreams.reduce((sum, workstream) => sum + workstream.tasks.length, 0);
  if (tasks > LIMITS.tasksPerRun) {
    problems.push({ path: 'workstreams', message: `${tasks} tasks: at most ${LIMITS.tasksPerRun} in one run` });
  }
  return problems;
}

function taskProblems(deps: SubmitRunDeps, spec: RunSpec): Problem[] {
  return spec.workstreams.flatMap((workstream, w) =>
    workstream.tasks.flatMap((task, t) => {
      const at = ['workstreams', w, 'tasks', t] as const;
      const problem = (key: PropertyKey[], message: string): Problem => ({ path: pathText([...at, ...key]), message });
      const trailer = OUR_TRAILER.test(task.message ?? '')
        ? [problem(['message'], 'holds a trailer that Sluice writes itself')]
        : [];
      return [...trailer, ...toolProblems(deps, task, problem)];
    }),
  );
}

function toolProblems(
  { tools, allowCommands }: SubmitRunDeps,
  task: TaskSpec,
  problem: (key: PropertyKey[], message: string) => Problem,
): Problem[] {
  if (task.tool === 'patch') return patchProblems(task.input, problem);
  if (tools.find(task.tool) === undefined) {
    return [problem(['tool'], `there is no tool ${task.tool}${guess(task.tool, tools.names())}`)];
  }
  if (task.tool !== 'command') return [];
  if (!allowCommands) return [problem(['tool'], 'free commands are not allowed here: declare a tool')];
  const parsed = commandInputSchema.safeParse(task.input);
  return parsed.success ? [] : parsed.error.issues.map(({ path, message }) => problem(['input', ...path], message));
}

function patchProblems(input: unknown, problem: (key: PropertyKey[], message: string) => Problem): Problem[] {
  const parsed = patchInputSchema.safeParse(input);
  if (!parsed.success) return parsed.error.issues.map(({ path, message }) => problem(['input', ...path], message));
  const sizeBytes = patchBytes(parsed.data).length;
  return sizeBytes > LIMITS.patchBytes
    ? [problem(['input'], `the patch has ${sizeBytes} bytes: at most ${LIMITS.patchBytes}`)]
    : [];
}

function toSubmission(
  { tools, repositories }: SubmitRunDeps,
  spec: RunSpec,
  order: { digest: string; idempotencyKey: string | undefined; actor: string; revertsPatchId: string | undefined },
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

/** PostgreSQL's jsonb takes no NUL and no lone surrogates; a diff may hold both, so such content travels as base64. */
function storablePatchInput(input: Record<string, unknown>): Record<string, unknown> {
  const storable = (holder: Record<string, unknown>): Record<string, unknown> => {
    const { content, ...rest } = holder;
    if (typeof content !== 'string' || (!content.includes('\0') && content.isWellFormed())) return holder;
    return { ...rest, content_base64: Buffer.from(content, 'utf8').toString('base64') };
  };
  const files = Array.isArray(input.files) ? { files: input.files.map(storable) } : {};
  return { ...storable(input), ...files };
}
