import { hasCode } from '../../contract/errors.ts';
import type { Work } from '../../domain/work.ts';
import type { ClaimedTask } from '../../ledger/attempts/claims.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { meters, stopwatch } from '../../lib/meters.ts';
import { persist } from '../support/persist.ts';
import type { HeldWorkRegistry } from '../support/ports.ts';
import { type AttemptResult, failed, resultOfError } from './attempt-result.ts';
import { type ExecuteDeps, executeAttempt } from './execute-attempt.ts';

export interface RunTaskDeps extends ExecuteDeps {
  ledger: Ledger;
  held: HeldWorkRegistry;
  leaseMs: number;
}

export type ExecuteAttempt = (deps: ExecuteDeps, task: ClaimedTask, signal: AbortSignal) => Promise<AttemptResult>;

/**
 * Stage: claims the task (the fence), executes one attempt of it and records the ending. Does nothing when the claim is
 * lost. Errors of the attempt are endings too.
 */
export async function runTask(deps: RunTaskDeps, work: Work, execute: ExecuteAttempt = executeAttempt): Promise<void> {
  const { ledger, workerId, leaseMs, held, log } = deps;
  const task = await ledger.claimTask({ ...work, workerId, leaseMs });
  if (task === undefined) return;
  const { task_id: taskId, attempt } = task;
  const startedAt = performance.now();
  const ended = stopwatch(meters.attemptSeconds);
  const signal = held.begin(taskId, attempt);
  try {
    log.debug({ taskId, attempt, tool: task.tool }, 'task.claimed');
    const result = await execute(deps, task, signal).catch((error) => resultOfError(error, { ...deps, signal }));
    const accepted = await recordEnding(deps, { task, result, signal });
    ended({ tool: task.tool, ending: result.ending.kind });
    const durationMs = Math.round(performance.now() - startedAt);
    log.info({ taskId, attempt, ending: result.ending.kind, accepted, durationMs }, 'task.attempted');
  } finally {
    held.end(taskId, attempt);
  }
}

/**
 * Returns false when the fence refused the ending. An ending that the ledger rejects as invalid is recorded as a
 * failure, because the task would otherwise be retried for ever.
 */
async function recordEnding(
  { ledger, workerId, log }: RunTaskDeps,
  { task, result, signal }: { task: ClaimedTask; result: AttemptResult; signal: AbortSignal },
): Promise<boolean> {
  const { task_id: taskId, attempt, tool } = task;
  const known = { taskId, workerId, attempt, tool };
  try {
    return await persist(() => ledger.endAttempt({ ...known, ...result }), signal);
  } catch (error) {
    // Only when the ledger rejects the ending itself. After a lost connection the same write succeeds later.
    if (!hasCode(error, 'entity.invalid')) throw error;
    log.error({ err: error, taskId, attempt }, 'attempt.ending_refused');
    const instead = failed('fatal', 'internal.error', { message: error.message });
    return persist(() => ledger.endAttempt({ ...known, ...instead, costUsd: result.costUsd }), signal);
  }
}
