import { expect, test } from 'vitest';
import { SluiceError } from '../../../src/contract/errors.ts';
import { isDiskFull, isStillOut, machineFault } from '../../../src/lib/machine-fault.ts';

test('a machine fault is recognized by its code, by the message of a program and through causes', () => {
  expect(machineFault(Object.assign(new Error('write'), { code: 'ENOSPC' }))).toBe('disk_full');
  const stderr = 'fatal: write error: No space left on device';
  expect(machineFault(new SluiceError('repository.unreadable', 'x', { facts: { stderr } }))).toBe('disk_full');
  expect(machineFault(new Error('x', { cause: Object.assign(new Error('open'), { code: 'EMFILE' }) }))).toBe(
    'out_of_files',
  );
  const spawn = new SluiceError('git.failed', 'git apply', { cause: { kind: 'not_started', code: 'EAGAIN' } });
  expect(machineFault(spawn)).toBe('out_of_processes');
});

test('other errors and values that are not errors are no machine faults', () => {
  for (const error of [new Error('no such file'), new SluiceError('git.failed', 'exit 1'), undefined, null, 'ENOSPC']) {
    expect(machineFault(error)).toBeUndefined();
  }
});

test('a folder with free space is not full, nor is a missing one', async () => {
  expect(await isDiskFull('/')).toBe(false);
  expect(await isDiskFull('/nowhere')).toBe(false);
});

test('a machine with free resources is not reported as out of any, whatever an error said', async () => {
  for (const fault of ['disk_full', 'out_of_files', 'out_of_memory', 'out_of_processes'] as const) {
    expect(await isStillOut(fault, '/')).toBe(false);
  }
});
