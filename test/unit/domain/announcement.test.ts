import { expect, test } from 'vitest';
import { announces, eventTypesOf } from '../../../src/domain/announcement.ts';

const change = (kind: string, from_state: string | null, to_state: string, reason: string | null = null) => ({
  kind,
  from_state,
  to_state,
  reason,
});

test('a change is announced under its kind and new state, with names that people expect', () => {
  expect(eventTypesOf(change('run', 'RUNNING', 'FAILED'))).toEqual(['run.failed']);
  expect(eventTypesOf(change('run', null, 'INITIALIZING'))).toEqual(['run.initializing']);
  expect(eventTypesOf(change('patch', 'APPLIED', 'VERIFIED'))).toEqual(['patch.landed']);
  expect(eventTypesOf(change('breaker', 'CLOSED', 'OPEN'))).toEqual(['breaker.opened']);
  expect(eventTypesOf(change('breaker', 'OPEN', 'HALF_OPEN'))).toEqual(['breaker.half_open']);
});

test('a patch that an operator may approve asks for it; a note on an object is not announced', () => {
  expect(eventTypesOf(change('patch', 'PENDING', 'QUARANTINED', 'protected_path'))).toEqual([
    'patch.quarantined',
    'approval.needed',
  ]);
  expect(eventTypesOf(change('patch', 'PENDING', 'QUARANTINED', 'empty'))).toEqual(['patch.quarantined']);
  expect(eventTypesOf(change('patch', 'STAGED', 'STAGED', 'approved'))).toEqual([]);
});

test('a pattern names one type, all of a kind, or all', () => {
  expect(announces('run.*', 'run.failed')).toBe(true);
  expect(announces('run.*', 'runner.failed')).toBe(false);
  expect(announces('run.failed', 'run.failed')).toBe(true);
  expect(announces('run.failed', 'run.failed_too')).toBe(false);
  expect(announces('*', 'gate.passed')).toBe(true);
});
