import { expect, test } from 'vitest';
import { SluiceError } from '../../../src/contract/errors.ts';
import { isDiskFull, isStillOut, machineFault } from '../../../src/lib/machine-fault.ts';

test('by its code, by the words of a program, through its causes', () => {
  expect(machineFault(Object.assign(new Error('write'), { code: 'ENOSPC' }))).toBe('disk_full');
  const stderr = 'fatal: write error: No space left on device';
  expect(machineFault(new SluiceError('repository.unreadable', 'x', { facts: { stderr } }))).toBe('disk_full');
  expect(machineFault(new Error('x', { cause: Object.assign(new Error('open'), { code: 'EMFILE' }) }))).toBe(
    'out_of_files',
  );
  const spawn = new SluiceError('git.failed', 'git apply', { cause: { kind: 'not_started', code: 'EAGAIN' } });
  expect(machineFault(spawn)).toBe('out_of_processes');
});

test('other faults are none, nor is anything that is no error', () => {
  for (const error of [new Error('no such file'), new SluiceError('git.failed', 'exit 1'), undefined, null, 'ENOSPC']) {
    expect(machineFault(error)).toBeUndefined();
  }
});

test('a folder with room is not full, nor is one that is not there', async () => {
  expect(await isDiskFull('/')).toBe(false);
  expect(await isDiskFull('/nowhere')).toBe(false);
});

test('what somebody’s words say of a machine is asked of the machine', async () => {
  for (const fault of ['disk_full', 'out_of_files', 'out_of_memory', 'out_of_processes'] as const) {
    expect(await isStillOut(fault, '/')).toBe(false);
  }
});
