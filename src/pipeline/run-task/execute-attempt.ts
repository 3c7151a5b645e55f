import { namedVariables } from '../../children/environment.ts';
import type { Mirrors } from '../../git/mirrors.ts';
import type { ClaimedTask } from '../../ledger/attempts/claims.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { redactDeep, redactor } from '../../lib/redact.ts';
import { runGuarded } from '../../tools/breaker-guard.ts';
import type { CommandTool } from '../../tools/tool.ts';
import { OutputLog } from '../support/output-log.ts';
import type { Tools } from '../support/ports.ts';
import { type AttemptResult, failed, HELD_BACK, NO_FACTS } from './attempt-result.ts';
import { readyMadePatch } from './ready-made-patch.ts';
import { resolveBase } from './resolve-base.ts';
import { attemptWithTool, type ToolAttempt, type ToolAttemptDeps, type ToolResult } from './tool-attempt.ts';

export interface ExecuteDeps extends ToolAttemptDeps {
  ledger: Ledger;
  mirrors: Mirrors;
  tools: Tools;
  workerId: string;
}

/** One attempt: the base, then a ready-made patch or a tool behind its breaker. */
export async function executeAttempt(
  deps: ExecuteDeps,
  task: ClaimedTask,
  signal: AbortSignal,
): Promise<AttemptResult> {
  const mirror = deps.mirrors.of(task.url);
  const base = await resolveBase(mirror, task, signal);
  const message = { given: task.message?.trim() || undefined, fallback: `${task.run_name}: ${task.name}` };
  if (task.tool === 'patch') {
    const ending = await readyMadePatch(mirror, task, { tip: base, message });
    return { ...NO_FACTS, ending, baseCommit: base.commit };
  }
  const tool = deps.tools.find(task.tool);
  if (tool === undefined) return failed('fatal', 'tool_unknown', { tool: task.tool });
  const secrets = secretsOf(deps, task, tool);
  const output = outputOf(deps, task, secrets);
  const attempt: ToolAttempt = { task, tool, mirror, base, message, secrets, output, signal };
  try {
    const result = await behindBreaker(attempt, () => attemptWithTool(deps, attempt));
    return result === undefined ? HELD_BACK : { ...redacted(result, secrets), baseCommit: base.commit };
  } finally {
    await output.end();
  }
}

/** Values that the tool or a gate is given: they must neither land nor show in a log. */
function secretsOf({ environment, gateVariables }: ExecuteDeps, task: ClaimedTask, tool: CommandTool): string[] {
  const variables = { ...gateVariables(task.url), ...namedVariables(tool.env, environment) };
  return Object.values(variables).filter((value) => value !== '');
}

function outputOf({ ledger, workerId }: ExecuteDeps, task: ClaimedTask, secrets: readonly string[]): OutputLog {
  const { task_id: taskId, attempt } = task;
  return new OutputLog({ ledger, taskId, gateId: null, attempt, workerId, secrets });
}

/** Undefined when the breaker of the tool is open; the built-in `command` has none. */
async function behindBreaker(
  { tool, task }: ToolAttempt,
  run: () => Promise<ToolResult>,
): Promise<ToolResult | undefined> {
  if (tool.declared === undefined) return run();
  const guarded = await runGuarded(task.breaker_state ?? 'CLOSED', run);
  return guarded.kind === 'ran' ? guarded.value : undefined;
}

/** Removes secrets from the evidence, which holds the tail of the output. */
function redacted(result: ToolResult, secrets: readonly string[]): ToolResult {
  if (result.ending.kind !== 'failed' || secrets.length === 0) return result;
  const evidence = redactDeep(result.ending.evidence, redactor(secrets));
  return { ...result, ending: { ...result.ending, evidence } };
}
