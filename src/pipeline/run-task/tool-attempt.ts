import type { ChildSurroundings, Confinement } from '../../children/confinement.ts';
import { childEnvironment, costFile, messageFile, namedVariables } from '../../children/environment.ts';
import type { Mirror } from '../../git/mirror.ts';
import { landedObjects } from '../../git/mirror-folder.ts';
import type { AttemptEnding } from '../../ledger/attempts/attempts.ts';
import type { ClaimedTask } from '../../ledger/attempts/claims.ts';
import type { ChildResult } from '../../lib/process.ts';
import { readHead } from '../../lib/read-head.ts';
import { assertBegan, assertRoom, classifyEnding, outputTail } from '../../tools/classify-ending.ts';
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
}

export interface ToolAttempt {
  ending: AttemptEnding;
  exitCode: number | null;
  fact: ToolFact;
}

/** Cost that the tool reported, kept here so that it counts even if the attempt throws later; null without a report. */
export interface CostMeter {
  usd: number | null;
}

const MAX_MESSAGE_BYTES = 20_000;
const MAX_IGNORED = 50;

/** Runs a tool in a slot at the base and captures what it changed. */
export async function attemptWithTool(
  deps: ToolAttemptDeps,
  call: {
    mirror: Mirror;
    task: ClaimedTask;
    tool: CommandTool;
    base: TaskBase;
    message: GivenMessage;
    output: OutputLog;
    /** Values given to the tool that must not land. */
    secrets: readonly string[];
    meter: CostMeter;
    signal: AbortSignal;
  },
): Promise<ToolAttempt> {
  const slot = await deps.slots.acquireWith(call.mirror, call.base.commit);
  try {
    return await runInSlot(deps, slot, call);
  } finally {
    await deps.slots.release(slot);
  }
}

async function runInSlot(
  deps: ToolAttemptDeps,
  slot: Slot,
  call: Parameters<typeof attemptWithTool>[1],
): Promise<ToolAttempt> {
  const { preparation, confinement, environment } = deps;
  const { mirror, task, tool, base, output, signal } = call;
  const surroundings = () => surroundingsOf(deps, slot, call);
  const runStep = confinement.stepsIn(slot, surroundings, (names) => deps.gateVariables(task.url, names));
  const { prepare: steps } = base.policy;
  const prepared = await preparation.run({ mirror, slot, steps, commit: base.commit, landed: true, runStep });
  if (!prepared.ok) {
    await assertRoom(slot.dir);
    return prepareFailed(prepared.step, outputTail(prepared.result, call.secrets), signal);
  }
  await letClockTick(slot.content?.signedAtMs);
  const costs = new CostLines();
  const common = await surroundings();
  const result = await runTool(confinement, slot, call, {
    ...common,
    env: { ...common.env, ...namedVariables(tool.env, environment) },
    onOutput: (stream, chunk) => {
      output.write(stream, chunk);
      costs.hear(stream, chunk);
    },
  });
  assertBegan(result);
  const report = await readReport(costFile(slot));
  call.meter.usd = report.usd ?? costs.usd;
  const ended = classifyEnding(tool, result, call.secrets);
  if (ended.kind === 'failed') {
    await assertRoom(slot.dir);
    const { failure, reason, evidence, exitCode, fact } = ended;
    const retryAfterMs = report.retryAfterMs ?? undefined;
    return { ending: { kind: 'failed', failure, reason, evidence, retryAfterMs }, exitCode, fact };
  }
  return { ending: await capture(slot, call), exitCode: 0, fact: ended.fact };
}

/** Returns the surroundings of one child, with new folders: the tool must not find what a prepare step left. */
async function surroundingsOf(
  { slots, environment }: ToolAttemptDeps,
  slot: Slot,
  { mirror, task, base, output, signal }: Parameters<typeof attemptWithTool>[1],
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
function runTool(
  confinement: Confinement,
  slot: Slot,
  { task, tool }: Parameters<typeof attemptWithTool>[1],
  common: ChildSurroundings,
): Promise<ChildResult> {
  const { sandbox, limits, exitCodes, idleTimeoutSeconds } = tool;
  return confinement.run(slot, {
    ...common,
    ...tool.invocation(task.input),
    network: sandbox?.network ?? confinement.rules.tool_network,
    mustBeConfined: sandbox !== undefined,
    limits,
    declared: Object.values(exitCodes).flat(),
    timeoutMs: (task.timeout_seconds ?? tool.timeoutSeconds) * 1_000,
    idleTimeoutMs: idleTimeoutSeconds === undefined ? undefined : idleTimeoutSeconds * 1_000,
    isActive: folderActivity(slot.work, slot.content?.seal),
  });
}

async function capture(slot: Slot, call: Parameters<typeof attemptWithTool>[1]): Promise<AttemptEnding> {
  const { mirror, task, tool, base } = call;
  const keptPaths = base.policy.prepare.flatMap((step) => step.kept_paths);
  const change = await captureChange(mirror, slot, { base: base.commit, keptPaths });
  const origin: PatchOrigin = {
    format: 'git_patch',
    content: null,
    base: base.commit,
    message: toolMessage(call.message, await readHead(messageFile(slot), MAX_MESSAGE_BYTES)),
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
  const rules = { policy: base.policy, scope: task.scope, secrets: call.secrets };
  const patch = await buildPatch(mirror, origin, { change, tree: change.tree, rules });
  return { kind: 'patch', patch: { ...patch, notes }, mayRetry: true };
}

/** Notes the files that `.gitignore` kept out of the change, for a person who misses one. */
function ignoredFiles(ignored: readonly string[]): Record<string, unknown> | null {
  if (ignored.length === 0) return null;
  return { ignored_files: ignored.slice(0, MAX_IGNORED), ignored_count: ignored.length };
}

function prepareFailed(step: string, tail: string, signal: AbortSignal): ToolAttempt {
  const evidence = { step, output_tail: tail };
  const interrupted = signal.aborted;
  return {
    ending: interrupted
      ? { kind: 'failed', failure: 'interrupted', reason: `interrupted:${String(signal.reason)}`, evidence: {} }
      : { kind: 'failed', failure: 'retryable', reason: 'prepare_failed', evidence },
    exitCode: null,
    fact: 'neutral',
  };
}
