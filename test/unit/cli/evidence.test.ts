import { expect, test } from 'vitest';
import { evidenceLines } from '../../../src/cli/evidence.ts';

const outputOf = (...lines: string[]) => evidenceLines({ output_tail: lines.join('\n') }, 2);

test.each([
  ['the failed test of node:test', ['✔ adds (1ms)', '✖ fails (2ms)', '  Error: no', 'ℹ fail 1'], '✖ fails (2ms)'],
  [
    'an error of tsc',
    ['Found 0 errors in a.ts', 'b.ts(1,2): error TS2345: no', 'x', 'y'],
    'b.ts(1,2): error TS2345: no',
  ],
  [
    'an assertion of Python',
    ['test ... ok', 'AssertionError: 1 != 2', 'Ran 2 tests', 'done'],
    'AssertionError: 1 != 2',
  ],
  ['the last lines where none tells of a failure', ['one', 'two', 'three'], 'two'],
])('the output is shown from %s', (_what, lines, first) => {
  expect(outputOf(...lines)[0]).toBe(first);
  expect(outputOf(...lines)).toHaveLength(2);
});

test('gate, exit status, messages and files come first', () => {
  const evidence = { gate: 'unit', exit_code: 3, messages: ['CONFLICT'], files: ['a', 'b'] };
  expect(evidenceLines(evidence, 2)).toEqual(['gate unit', 'exit status 3', 'CONFLICT', 'files: a, b']);
});
