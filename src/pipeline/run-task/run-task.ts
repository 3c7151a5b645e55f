import { namedVariables } from '../../children/environment.ts';
import { hasCode, SluiceError } from '../../contract/errors.ts';
import type { Reason } from '../../contract/reasons.ts';
import type { Mirrors } from '../../git/mirrors.ts';
import type { AttemptEnd } from '../../ledger/attempts/attempts.ts';
import type { ClaimedTask } from '../../ledger/attempts/claims.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import type { Log } from '../../lib/log.ts';
import { machineFault } from '../../lib/machine-fault.ts';
import { redactDeep, redactor } from '../../lib/redact.ts';
import { runGuarded } from '../../tools/breaker-guard.ts';
import type { CommandTool } from '../../tools/tool.ts';
import { OutputLog } from '../support/output-log.ts';
import { persist } from '../support/persist.ts';
import type { HeldWorkRegistry, Tools } from '../support/ports.ts';
import type { GivenMessage } from './commit-message.ts';
import { readyMadePatch } from './ready-made-patch.ts';
import { resolveBase } from './resolve-base.ts';
import { attemptWithTool, type CostMeter, type ToolAttempt, type ToolAttemptDeps } from './tool-attempt.ts';

export interface RunTaskDeps extends ToolAttemptDeps {
  ledger: Ledger;
  mirrors: Mirrors;
  tools: Tools;
  held: HeldWorkRegistry;
  workerId: string;
  leaseMs: number;
  log: Log;
}

/** How an attempt ended, with its facts; undefined when the breaker let nothing through. */
export type AttemptResult = Pick<AttemptEnd, 'exitCode' | 'baseCommit' | 'fact' | 'ending'> | undefined;
export type ExecuteAttempt = (
  deps: RunTaskDeps,
  task: ClaimedTask,
  signal: AbortSignal,
  meter: CostMeter,
) => Promise<AttemptResult>;

/** Stage: claims the task (the fence), runs it, ends the attempt in the ledger. A lost claim ends silently. */
export async function runTask(
  deps: RunTaskDeps,
  message: { id: string; dispatch: number },
  execute: ExecuteAttempt = executeAttempt,
): Promise<void> {
  const { ledger, workerId, leaseMs, held, log } = deps;
  const task = await ledger.claimTask({ ...message, workerId, leaseMs });
  if (task === undefined) return;
  const { task_id: taskId, attempt } = task;
  const startedAt = performance.now();
  const signal = held.begin(taskId, attempt);
  try {
    log.debug({ taskId, attempt, tool: task.tool }, 'task.claimed');
    const meter: CostMeter = { usd: null };
    const result = (await surely(() => execute(deps, task, signal, meter), deps)) ?? HELD_BACK;
    const accepted = await endSurely(deps, { task, result, costUsd: meter.usd, signal });
    const durationMs = Math.round(performance.now() - startedAt);
    log.info({ taskId, attempt, ending: result.ending.kind, accepted, durationMs }, 'task.attempted');
  } finally {
    held.end(taskId, attempt);
  }
}

/**
 * Writes an ending that the ledger can never take as a failure, because the task would otherwise be taken up forever.
 */
async function endSurely(
  { ledger, workerId, log }: RunTaskDeps,
  call: { task: ClaimedTask; result: NonNullable<AttemptResult>; costUsd: number | null; signal: AbortSignal },
): Promise<boolean> {
  const { task, result, costUsd, signal } = call;
  const { task_id: taskId, attempt, tool } = task;
  const known = { taskId, workerId, attempt, tool, costUsd };
  try {
    return await persist(() => ledger.endAttempt({ ...known, ...result }), signal);
  } catch (error) {
    // Only for an ending that the ledger rejects as invalid. After a lost connection the same write succeeds later.
    if (!hasCode(error, 'entity.invalid')) throw error;
    log.error({ err: error, taskId, attempt }, 'attempt.ending_refused');
    const instead = failed('fatal', 'internal.error', { message: (error as Error).message })!;
    return persist(() => ledger.endAttempt({ ...known, ...instead }), signal);
  }
}

/** Turns a fault of Sluice itself into an ending, because a task that is never ended would be held forever. */
async function surely(
  execute: () => Promise<AttemptResult>,
  { log, onMachineFault }: RunTaskDeps,
): Promise<AttemptResult> {
  try {
    return await execute();
  } catch (error) {
    log.error({ err: error }, 'attempt.fault');
    const machine = machineFault(error);
    if (machine !== undefined) {
      onMachineFault(machine);
      return failed('interrupted', `machine_fault:${machine}`, { message: (error as Error).message });
    }
    return failed('retryable', 'internal.error', { message: (error as Error).message });
  }
}

const HELD_BACK = {
  exitCode: null,
  baseCommit: null,
  fact: null,
  ending: { kind: 'failed', failure: 'interrupted', reason: 'breaker_open', evidence: {} },
} as const;

/** Runs a real attempt: base, slot or ready-made change, breaker, capture. Known faults become endings. */
export const executeAttempt: ExecuteAttempt = async (deps, task, signal, meter) => {
  const mirror = deps.mirrors.of(task.url);
  try {
    const base = await resolveBase(mirror, task, signal);
    const given = task.message?.trim() || undefined;
    const message: GivenMessage = { given, fallback: `${task.run_name}: ${task.name}` };
    if (task.tool === 'patch') {
      const ending = await readyMadePatch(mirror, task, { tip: base, message });
      return { ending, exitCode: null, fact: null, baseCommit: base.commit };
    }
    const tool = deps.tools.find(task.tool);
    if (tool === undefined) return failed('fatal', 'tool_unknown', { tool: task.tool });
    const variables = { ...deps.gateVariables(task.url), ...namedVariables(tool.env, deps.environment) };
    const secrets = Object.values(variables).filter((value) => value !== '');
    const output = new OutputLog({
      ledger: deps.ledger,
      taskId: task.task_id,
      gateId: null,
      attempt: task.attempt,
      workerId: deps.workerId,
      secrets,
    });
    try {
      const run = () => attemptWithTool(deps, { mirror, task, tool, base, message, output, secrets, meter, signal });
      const attempted = await guarded(tool, task, run);
      return attempted === undefined ? undefined : { ...redacted(attempted, secrets), baseCommit: base.commit };
    } finally {
      await output.end();
    }
  } catch (error) {
    if (signal.aborted) return failed('interrupted', `interrupted:${String(signal.reason)}`, {});
    // A fault of this host says nothing about the task: another worker takes it.
    if (!(error instanceof SluiceError) || machineFault(error) !== undefined) throw error;
    const failure = error.code === 'feature.unsupported' ? 'fatal' : 'retryable';
    return failed(failure, error.code, { message: error.message, ...error.facts });
  }
};

async function guarded(
  tool: CommandTool,
  task: ClaimedTask,
  run: () => Promise<ToolAttempt>,
): Promise<ToolAttempt | undefined> {
  if (tool.declared === undefined) return run();
  const guarded = await runGuarded(task.breaker_state ?? 'CLOSED', run);
  return guarded.kind === 'ran' ? guarded.value : undefined;
}

/** Removes secrets from the evidence, which holds the tail of the output. */
function redacted(attempt: ToolAttempt, secrets: readonly string[]): ToolAttempt {
  if (attempt.ending.kind !== 'failed' || secrets.length === 0) return attempt;
  const evidence = redactDeep(attempt.ending.evidence, redactor(secrets));
  return { ...attempt, ending: { ...attempt.ending, evidence } };
}

function failed(
  failure: 'retryable' | 'fatal' | 'interrupted',
  reason: Reason,
  evidence: Readonly<Record<string, unknown>>,
): AttemptResult {
  return {
    exitCode: null,
    baseCommit: null,
    fact: null,
    ending: { kind: 'failed', failure, reason, evidence },
  };
}
