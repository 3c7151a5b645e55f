import { SluiceError } from '../../contract/errors.ts';
import type { Reason } from '../../contract/reasons.ts';
import type { AttemptEnd } from '../../ledger/attempts/attempts.ts';
import type { Log } from '../../lib/log.ts';
import { machineFault } from '../../lib/machine-fault.ts';
import type { OnMachineFault } from '../support/ports.ts';

/** How an attempt ended, with its facts. `costUsd` is null when the tool reported no cost. */
export type AttemptResult = Pick<AttemptEnd, 'exitCode' | 'baseCommit' | 'fact' | 'ending' | 'costUsd'>;

export const NO_FACTS = { exitCode: null, baseCommit: null, fact: null, costUsd: null } as const;

export function failed(
  failure: 'retryable' | 'fatal' | 'interrupted',
  reason: Reason,
  evidence: Readonly<Record<string, unknown>> = {},
): AttemptResult {
  return { ...NO_FACTS, ending: { kind: 'failed', failure, reason, evidence } };
}

/** The breaker of the tool opened before the tool began. */
export const HELD_BACK = failed('interrupted', 'breaker_open');

/**
 * Turns an error into an ending, because a task that is never ended would be held for ever. A fault of this host says
 * nothing about the task, so another worker takes it.
 */
export function resultOfError(
  error: unknown,
  { signal, log, onMachineFault }: { signal: AbortSignal; log: Log; onMachineFault: OnMachineFault },
): AttemptResult {
  if (signal.aborted) return failed('interrupted', `interrupted:${String(signal.reason)}`);
  const { message } = error as Error;
  const machine = machineFault(error);
  if (machine === undefined && error instanceof SluiceError) {
    const failure = error.code === 'feature.unsupported' ? 'fatal' : 'retryable';
    return failed(failure, error.code, { message, ...error.facts });
  }
  log.error({ err: error }, 'attempt.fault');
  if (machine === undefined) return failed('retryable', 'internal.error', { message });
  onMachineFault(machine);
  return failed('interrupted', `machine_fault:${machine}`, { message });
}
