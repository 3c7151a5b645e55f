import { assertBegan, assertRoom, outputTail } from '../../children/child-outcome.ts';
import type { ChildSurroundings, Confinement } from '../../children/confinement.ts';
import { childEnvironment, costFile, messageFile, namedVariables } from '../../children/environment.ts';
import type { Mirror } from '../../git/mirror.ts';
import { landedObjects } from '../../git/mirror-folder.ts';
import type { AttemptEnding } from '../../ledger/attempts/attempts.ts';
import type { ClaimedTask } from '../../ledger/attempts/claims.ts';
import type { Log } from '../../lib/log.ts';
import type { ChildResult } from '../../lib/process.ts';
import { readHead } from '../../lib/read-head.ts';
import { classifyEnding } from '../../tools/classify-ending.ts';
import { CostLines, readReport } from '../../tools/cost.ts';
import type { CommandTool, ToolFact } from '../../tools/tool.ts';
import { folderActivity } from '../../workspaces/activity.ts';
import { captureChange } from '../../workspaces/capture.ts';
import type { Preparation } from '../../workspaces/prepare.ts';
import { letClockTick } from '../../workspaces/seal.ts';
import { renewChild, type Slot } from '../../workspaces/slot.ts';
import type { SlotRack } from '../../workspaces/slots.ts';
import type { OutputLog } from '../support/output-log.ts';
import type { GateVariables, OnMachineFault } from '../support/ports.ts';
import { type AttemptResult, failed, NO_FACTS, resultOfError } from './attempt-result.ts';
import { buildPatch, type PatchOrigin, refusedPatch } from './build-patch.ts';
import { type GivenMessage, toolMessage } from './commit-message.ts';
import type { TaskBase } from './resolve-base.ts';

export interface ToolAttemptDeps {
  slots: SlotRack;
  confinement: Confinement;
  preparation: Preparation;
  onMachineFault: OnMachineFault;
  /** The daemon's own environment. Children get only the variables that are named. */
  environment: Readonly<Record<string, string | undefined>>;
  gateVariables: GateVariables;
  log: Log;
}

/** All that one attempt with a tool works on. */
export interface ToolAttempt {
  task: ClaimedTask;
  tool: CommandTool;
  mirror: Mirror;
  base: TaskBase;
  message: GivenMessage;
  /** Values given to the tool that must not land. */
  secrets: readonly string[];
  output: OutputLog;
  signal: AbortSignal;
}

/** How it ended; `fact` says what that means for the breaker of the tool. */
export type ToolResult = AttemptResult & { fact: ToolFact };

const MAX_MESSAGE_BYTES = 20_000;
const MAX_IGNORED = 50;

/** Takes a slot at the base, prepares it, runs the tool, classifies its ending and captures what it changed. */
export async function attemptWithTool(deps: ToolAttemptDeps, attempt: ToolAttempt): Promise<ToolResult> {
  const slot = await deps.slots.acquireWith(attempt.mirror, attempt.base.commit);
  try {
    return (await prepare(deps, slot, attempt)) ?? (await runAndCapture(deps, slot, attempt));
  } finally {
    await deps.slots.release(slot);
  }
}

/** Runs the `prepare` steps of the policy. Undefined when they succeeded. */
async function prepare(deps: ToolAttemptDeps, slot: Slot, attempt: ToolAttempt): Promise<ToolResult | undefined> {
  const { mirror, task, base, secrets, signal } = attempt;
  const surroundings = () => surroundingsOf(deps, slot, attempt);
  const runStep = deps.confinement.stepsIn(slot, surroundings, (names) => deps.gateVariables(task.url, names));
  const { prepare: steps } = base.policy;
  const prepared = await deps.preparation.run({ mirror, slot, steps, commit: base.commit, landed: true, runStep });
  if (prepared.ok) return undefined;
  await assertRoom(slot.dir);
  const evidence = { step: prepared.step, output_tail: outputTail(prepared.result, secrets) };
  const result = signal.aborted
    ? failed('interrupted', `interrupted:${String(signal.reason)}`)
    : failed('retryable', 'prepare_failed', evidence);
  return { ...result, fact: 'neutral' };
}

async function runAndCapture(deps: ToolAttemptDeps, slot: Slot, attempt: ToolAttempt): Promise<ToolResult> {
  await letClockTick(slot.content?.signedAtMs);
  const costs = new CostLines();
  const child = await runTool(deps, slot, { attempt, costs });
  assertBegan(child);
  const report = await readReport(costFile(slot));
  const costUsd = report.usd ?? costs.usd;
  try {
    const tail = outputTail(child, attempt.secrets);
    const ended = classifyEnding(attempt.tool, { ending: child.ending, outputTail: tail });
    const { exitCode, fact, ...ending } = ended;
    const facts = { ...NO_FACTS, exitCode, fact, costUsd };
    if (ending.kind === 'done') return { ...facts, ending: await capture(slot, attempt) };
    await assertRoom(slot.dir);
    return { ...facts, ending: { ...ending, retryAfterMs: report.retryAfterMs ?? undefined } };
  } catch (error) {
    // The money is spent, whatever went wrong after the tool had run.
    return { ...resultOfError(error, { ...deps, signal: attempt.signal }), fact: 'neutral', costUsd };
  }
}

/** Returns the surroundings of one child, with new folders: the tool must not find what a prepare step left. */
async function surroundingsOf(
  { slots, environment }: ToolAttemptDeps,
  slot: Slot,
  { mirror, task, base, output, signal }: ToolAttempt,
): Promise<ChildSurroundings> {
  renewChild(slot);
  const env = await childEnvironment(
    slot,
    {
      runId: task.run_id,
      taskId: task.task_id,
      attempt: task.attempt,
      baseCommit: base.commit,
      input: task.input,
      evidence: task.evidence,
    },
    environment,
  );
  const onSpawn = (groupId: number): void => slots.noteGroup(slot, groupId);
  return { env, readable: [landedObjects(mirror.dir)], signal, onSpawn, onOutput: output.write };
}

/** Runs the tool's program, confined as the tool declares, until it ends or meets its first limit. */
async function runTool(
  deps: ToolAttemptDeps,
  slot: Slot,
  { attempt, costs }: { attempt: ToolAttempt; costs: CostLines },
): Promise<ChildResult> {
  const { confinement, environment } = deps;
  const { task, tool, output } = attempt;
  const { sandbox, limits, exitCodes, idleTimeoutSeconds } = tool;
  const surroundings = await surroundingsOf(deps, slot, attempt);
  return confinement.run(slot, {
    ...surroundings,
    ...tool.invocation(task.input),
    env: { ...surroundings.env, ...namedVariables(tool.env, environment) },
    onOutput: (stream, chunk) => {
      output.write(stream, chunk);
      costs.hear(stream, chunk);
    },
    network: sandbox?.network ?? confinement.rules.tool_network,
    mustBeConfined: sandbox !== undefined,
    limits,
    declared: Object.values(exitCodes).flatMap((codes) => codes ?? []),
    timeoutMs: (task.timeout_seconds ?? tool.timeoutSeconds) * 1_000,
    idleTimeoutMs: idleTimeoutSeconds === undefined ? undefined : idleTimeoutSeconds * 1_000,
    isActive: folderActivity(slot.work, slot.content?.seal),
  });
}

async function capture(slot: Slot, attempt: ToolAttempt): Promise<AttemptEnding> {
  const { mirror, task, tool, base } = attempt;
  const keptPaths = base.policy.prepare.flatMap((step) => step.kept_paths);
  const change = await captureChange(mirror, slot, { base: base.commit, keptPaths });
  const origin: PatchOrigin = {
    format: 'git_patch',
    content: null,
    base: base.commit,
    message: toolMessage(attempt.message, await readHead(messageFile(slot), MAX_MESSAGE_BYTES)),
    author: { name: tool.name, email: `${tool.name}@sluice.invalid` },
  };
  if (!change.ok) {
    const paths = [String(change.refusal.evidence.path)];
    return { kind: 'patch', patch: refusedPatch(origin, paths, change.refusal), mayRetry: true };
  }
  const notes = ignoredFiles(change.ignored);
  if (change.tree === change.baseTree) {
    if (tool.whenUnchanged === 'complete') return { kind: 'unchanged', notes };
    return { kind: 'failed', failure: 'retryable', reason: 'tool_changed_nothing', evidence: notes ?? {} };
  }
  const rules = { policy: base.policy, scope: task.scope, secrets: attempt.secrets };
  const patch = await buildPatch(mirror, origin, { change, tree: change.tree, rules });
  return { kind: 'patch', patch: { ...patch, notes }, mayRetry: true };
}

/** Notes the files that `.gitignore` kept out of the change, for a person who misses one. */
function ignoredFiles(ignored: readonly string[]): Record<string, unknown> | null {
  if (ignored.length === 0) return null;
  return { ignored_files: ignored.slice(0, MAX_IGNORED), ignored_count: ignored.length };
}
