import { expect, test } from 'vitest';
import type { ChildEnding } from '../../../src/lib/process.ts';
import { classifyEnding } from '../../../src/tools/classify-ending.ts';

const tool = { exitCodes: { fatal: [2], limited: [75] } };
const classify = (
  ending: ChildEnding,
  exitCodes: { fault?: number[]; fatal: number[]; limited: number[] } = tool.exitCodes,
) => classifyEnding({ exitCodes }, { ending, outputTail: 'words' });

test.each([
  [
    { kind: 'exited', exitCode: 0 },
    { kind: 'done', fact: 'success' },
  ],
  [
    { kind: 'exited', exitCode: 1 },
    { failure: 'retryable', fact: 'fault', exitCode: 1 },
  ],
  [
    { kind: 'exited', exitCode: 2 },
    { failure: 'fatal', fact: 'neutral' },
  ],
  [
    { kind: 'exited', exitCode: 75 },
    { failure: 'limited', fact: 'neutral' },
  ],
  [
    { kind: 'signalled', signal: 'SIGSEGV' },
    { failure: 'retryable', fact: 'fault', reason: 'tool_crashed:SIGSEGV' },
  ],
  [
    { kind: 'timeout', limit: 'idle' },
    { failure: 'retryable', fact: 'fault', reason: 'tool_timeout:idle' },
  ],
  [
    { kind: 'aborted', cause: 'shutdown' },
    { failure: 'interrupted', fact: 'neutral' },
  ],
  [
    { kind: 'not_started', code: 'ENOENT', message: '' },
    { failure: 'fatal', fact: 'fault' },
  ],
] as [ChildEnding, object][])('%j', (ending, expected) => {
  expect(classify(ending)).toMatchObject(expected);
});

test('if a tool declares its fault exit codes, any other exit code is neutral for its breaker', () => {
  expect(classify({ kind: 'exited', exitCode: 9 }, { ...tool.exitCodes, fault: [1] })).toMatchObject({
    fact: 'neutral',
  });
});
