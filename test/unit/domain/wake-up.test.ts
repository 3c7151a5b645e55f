import { expect, test } from 'vitest';
import { edgesFrom, KINDS, statesOf, terminalStates } from '../../../src/domain/lifecycle.ts';
import { cancelledBy, isStage, stagesWokenBy } from '../../../src/domain/wake-up.ts';

test('every ending of a task or workstream wakes the roll-up, or its run would end a poll later', () => {
  for (const kind of ['task', 'workstream'] as const) {
    for (const state of terminalStates(kind)) expect(stagesWokenBy(kind, 'RUNNING', state)).toContain('roll-up');
  }
});

test('what may be dispatched or land wakes its stage', () => {
  expect(stagesWokenBy('task', 'PENDING', 'QUEUED')).toEqual(['dispatch']);
  expect(stagesWokenBy('run', undefined, 'INITIALIZING')).toEqual(['start-runs']);
  expect(stagesWokenBy('gate', undefined, 'PENDING')).toEqual(['dispatch']);
  expect(stagesWokenBy('gate', 'RUNNING', 'PASSED')).toContain('landing');
  expect(stagesWokenBy('patch', 'VALIDATING', 'STAGED')).toEqual(['landing']);
  expect(stagesWokenBy('patch', 'STAGED', 'EXPIRED')).toEqual(['landing']);
});

test('a claim wakes nothing: it would be the most frequent wake-up of all', () => {
  expect(stagesWokenBy('task', 'QUEUED', 'RUNNING')).toEqual([]);
  expect(stagesWokenBy('gate', 'PENDING', 'RUNNING')).toEqual([]);
  expect(stagesWokenBy('worker', 'IDLE', 'BUSY')).toEqual([]);
});

test('every edge of every lifecycle names stages that exist', () => {
  for (const kind of KINDS) {
    for (const from of statesOf(kind)) {
      for (const to of edgesFrom(kind, from)) {
        expect(stagesWokenBy(kind, from as never, to as never).every(isStage), `${kind} ${from} ${to}`).toBe(true);
      }
    }
  }
});

test('a cancel names its task or gate, a stage none', () => {
  expect(cancelledBy('cancel:task_1')).toBe('task_1');
  expect(cancelledBy('dispatch')).toBeUndefined();
});
