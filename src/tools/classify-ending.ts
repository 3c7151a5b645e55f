import type { ChildEnding } from '../lib/process.ts';
import type { CommandTool, ToolEnding } from './tool.ts';

/**
 * Maps an ending to its class; no other place does. Signals, timeouts and too many processes are the tool's fault,
 * other aborts are not.
 */
export function classifyEnding(
  { exitCodes }: Pick<CommandTool, 'exitCodes'>,
  { ending, outputTail }: { ending: ChildEnding; outputTail: string },
): ToolEnding {
  const evidence = { output_tail: outputTail };
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
