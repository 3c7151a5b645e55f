import { SluiceError } from '../contract/errors.ts';
import { isDiskFull, machineFault } from '../lib/machine-fault.ts';
import type { ChildResult } from '../lib/process.ts';
import { redactor } from '../lib/redact.ts';
import type { CommandTool, ToolEnding } from './tool.ts';

/** Why Sluice itself ended a child: the reason of the abort signal. */
export type StopCause = 'cancelled' | 'lease_lost' | 'shutdown' | 'too_many_processes';

const FULL = { cause: { code: 'ENOSPC' } };
const TAIL_CHARS = 4_000;

/**
 * Throws `machine.fault` when a program could not start because this host is out of a resource, not by its own fault.
 */
export function assertBegan({ ending }: Pick<ChildResult, 'ending'>): void {
  if (ending.kind !== 'not_started' || machineFault(ending) === undefined) return;
  throw new SluiceError(
    'machine.fault',
    `this machine is out of a resource and cannot start programs: ${ending.message}`,
    { cause: ending },
  );
}

/** Throws `machine.fault` when the disk is full, because the program might have ended differently with free space. */
export async function assertRoom(folder: string): Promise<void> {
  if (await isDiskFull(folder)) throw new SluiceError('machine.fault', `no space left on device: ${folder}`, FULL);
}

/**
 * Maps an ending to its class; no other place does. Signals, timeouts and too many processes are the tool's fault,
 * other aborts are not.
 */
export function classifyEnding(
  { exitCodes }: Pick<CommandTool, 'exitCodes'>,
  result: ChildResult,
  secrets: readonly string[] = [],
): ToolEnding {
  const { ending } = result;
  const evidence = { output_tail: outputTail(result, secrets) };
  const failed = { kind: 'failed', exitCode: null, evidence } as const;
  switch (ending.kind) {
    case 'exited':
      return ending.exitCode === 0
        ? { kind: 'done', exitCode: 0, fact: 'success' }
        : { ...failed, ...classifyExit(exitCodes, ending.exitCode), exitCode: ending.exitCode };
    case 'signalled':
      return { ...failed, failure: 'retryable', reason: `tool_crashed:${ending.signal}`, fact: 'fault' };
    case 'timeout':
      return { ...failed, failure: 'retryable', reason: `tool_timeout:${ending.limit}`, fact: 'fault' };
    case 'aborted':
      if (ending.cause === 'too_many_processes') {
        return { ...failed, failure: 'retryable', reason: 'tool_limit:processes', fact: 'fault' };
      }
      return { ...failed, failure: 'interrupted', reason: `interrupted:${String(ending.cause)}`, fact: 'neutral' };
    case 'not_started':
      return { ...failed, failure: 'fatal', reason: `tool_not_started:${ending.code}`, fact: 'fault' };
    default:
      return ending satisfies never;
  }
}

function classifyExit(
  exitCodes: CommandTool['exitCodes'],
  exitCode: number,
): Pick<Extract<ToolEnding, { kind: 'failed' }>, 'failure' | 'reason' | 'fact'> {
  if (exitCodes.limited.includes(exitCode)) return { failure: 'limited', reason: 'tool_limited', fact: 'neutral' };
  if (exitCodes.fatal.includes(exitCode)) return { failure: 'fatal', reason: `tool_exit:${exitCode}`, fact: 'neutral' };
  // Without declared faults, every other exit status is the tool's fault.
  const isFault = exitCodes.fault === undefined || exitCodes.fault.includes(exitCode);
  return { failure: 'retryable', reason: `tool_exit:${exitCode}`, fact: isFault ? 'fault' : 'neutral' };
}

/** Returns the end of the output. It is redacted before it is cut, because half a secret would not be recognised. */
export function outputTail(
  { stdout, stderr }: Pick<ChildResult, 'stdout' | 'stderr'>,
  secrets: readonly string[] = [],
): string {
  const redact = redactor(secrets);
  const tail = (bytes: Buffer): string => redact(bytes.toString('utf8')).slice(-TAIL_CHARS).trim();
  return [tail(stdout), tail(stderr)].filter((text) => text !== '').join('\n');
}
