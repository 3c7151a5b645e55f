import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { runTree } from '../../../src/cli/run-tree.ts';
import type { ExpandedRunObject, TaskObject } from '../../../src/contract/objects.ts';

const task = (name: string, state: string, more: object = {}): TaskObject =>
  ({
    id: `task_${name}`,
    workstream_id: 'ws',
    name,
    position: 0,
    tool: 'command',
    state,
    reason: null,
    retry_count: 0,
    cost_usd: 0,
    budget_usd: null,
    started_at: null,
    completed_at: null,
    evidence: null,
    ...more,
  }) as TaskObject;

function treeOf(tasks: TaskObject[], options: Parameters<typeof runTree>[1] = {}, run: object = {}): string[] {
  const whole = {
    id: 'run_1',
    name: 'nightly',
    state: 'RUNNING',
    outcome: null,
    reason: null,
    progress_percentage: 0,
    tasks_ended: 0,
    tasks_total: tasks.length,
    cost_usd: 0,
    budget_usd: null,
    workstreams: [{ id: 'ws', name: 'lint', state: 'RUNNING', reason: null }],
    tasks,
    ...run,
  } as unknown as ExpandedRunObject;
  return stripVTControlCharacters(runTree(whole, options)).split('\n');
}

test('what moves is shown before what is done or waits, and the rest is counted by state', () => {
  const done = Array.from({ length: 30 }, (_, index) => task(`done-${index}`, 'COMPLETED'));
  const queued = Array.from({ length: 9 }, (_, index) => task(`queued-${index}`, 'QUEUED'));
  const lines = treeOf([...done, ...queued, task('moves', 'RUNNING')], { maxTasks: 5 });
  expect(lines.filter((line) => line.includes('moves'))).toHaveLength(1);
  expect(lines.at(-1)).toBe('    … and 30 COMPLETED, 5 QUEUED');
});

test('a task shows its time, its cost and why it waits; a cancelled run does not read as failed', () => {
  const span = { started_at: '2026-11-27T00:00:00.000Z', completed_at: '2026-11-27T00:02:05.000Z' };
  const lines = treeOf(
    [task('a', 'COMPLETED', { ...span, cost_usd: 0.5 }), task('b', 'QUEUED')],
    { whyTasks: new Map(['task_a', 'task_b'].map((id) => [id, 'waits: no slot.'])) },
    { state: 'FAILED', outcome: 'cancelled', cost_usd: 0.5, budget_usd: 20 },
  );
  expect(lines[0]).toBe('nightly run_1 CANCELLED');
  expect(lines[1]).toMatch(/ 0\/2 tasks \$0\.50 of \$20\.00$/);
  expect(lines[3]).toBe('    a command COMPLETED 2 min 5 s $0.50');
  expect(lines.slice(4)).toEqual(['    b command QUEUED', '      waits: no slot.']);
});
