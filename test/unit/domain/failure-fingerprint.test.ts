import { expect, test } from 'vitest';
import { failureFingerprint } from '../../../src/domain/failure-fingerprint.ts';

const of = (output_tail: string, more: object = {}, reason = 'tool_exit:3') =>
  failureFingerprint({ reason, evidence: { output_tail, ...more } });

test('the fingerprint of a failure ignores numbers, ids, times and colours, but not words and reason', () => {
  const one = of('\u001b[31mFAIL\u001b[0m a.test.ts:17 in 341 ms (task_01m889f0zpqcw9zg9mc56268ds, 23cec3f2c931)');
  expect(of('FAIL a.test.ts:31 in 12.5 ms (task_01m889pzj1pyacdhfv0h73rz6v, 0adfe3f2c000)')).toBe(one);
  expect(of('FAIL b.test.ts:31 in 12.5 ms')).not.toBe(one);
  expect(of('FAIL', {}, 'tool_exit:4')).not.toBe(of('FAIL'));
});

test('the fingerprint of a failure ignores patch and gate ids, but not the name of the gate', () => {
  expect(of('FAIL', { patch_id: 'patch_a', gate_id: 'x' })).toBe(of('FAIL', { patch_id: 'patch_b', gate_id: 'y' }));
  expect(of('FAIL', { gate: 'unit' })).not.toBe(of('FAIL', { gate: 'types' }));
});

test('a failure without words has no fingerprint', () => {
  expect(failureFingerprint({ reason: 'tool_exit:1', evidence: {} })).toBeNull();
  expect(failureFingerprint({ reason: 'gate_red', evidence: { gate: 'unit', output_tail: ' 12 %\n' } })).toBeNull();
});
