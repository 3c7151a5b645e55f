import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { explained, GATE_REASONS, meaningOf, REASONS, REASONS_WITH_ARGUMENT } from '../../../src/contract/reasons.ts';

test('a reason says what it means, with its argument; the words of a person stay as they are', () => {
  expect(meaningOf('out_of_scope')).toBe('The change leaves the scope of its task.');
  expect(meaningOf('tool_exit:3')).toBe('The tool ended with this exit status: 3');
  expect(meaningOf('patch_blocked:gate_red')).toBe('The patch of the task was stopped for this reason: A gate failed.');
  expect(meaningOf('branch.missing')).toBe('The branch does not exist.');
  expect(meaningOf('wrong spec: see ticket')).toBe('wrong spec: see ticket');
  expect(explained('out_of_scope')).toBe('out_of_scope (the change leaves the scope of its task)');
  expect(explained(null)).toBe('no reason given');
});

test('docs/reasons.md lists every reason with its meaning', () => {
  const page = readFileSync(new URL('../../../docs/reasons.md', import.meta.url), 'utf8');
  const rows = [
    ...Object.entries(REASONS),
    ...Object.entries(REASONS_WITH_ARGUMENT).map(([name, meaning]) => [`${name}:…`, meaning]),
    ...Object.entries(GATE_REASONS).map(([name, meaning]) => [`${name}\`, \`gate_${name}`, meaning]),
  ].map(([name, meaning]) => `| \`${name}\` | ${meaning} |`);
  expect(page.split('\n').filter((line) => line.startsWith('| `'))).toEqual(rows);
});
