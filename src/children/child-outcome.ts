import { SluiceError } from '../contract/errors.ts';
import { isDiskFull, machineFault } from '../lib/machine-fault.ts';
import type { ChildResult } from '../lib/process.ts';
import { redactor } from '../lib/redact.ts';

/** Why Sluice itself ended a child: the reason of the abort signal. */
export type StopCause = 'cancelled' | 'lease_lost' | 'shutdown' | 'too_many_processes';

const FULL = { cause: { code: 'ENOSPC' } };
const TAIL_CHARS = 4_000;

/**
 * Throws `machine.fault` when a program could not start because this host is out of a resource, not by its own fault.
 */
export function assertBegan({ ending }: Pick<ChildResult, 'ending'>): void {
  if (ending.kind !== 'not_started' || machineFault(ending) === undefined) return;
  throw new SluiceError(
    'machine.fault',
    `this machine is out of a resource and cannot start programs: ${ending.message}`,
    { cause: ending },
  );
}

/** Throws `machine.fault` when the disk is full, because the program might have ended differently with free space. */
export async function assertRoom(folder: string): Promise<void> {
  if (await isDiskFull(folder)) throw new SluiceError('machine.fault', `no space left on device: ${folder}`, FULL);
}

/** Returns the end of the output. It is redacted before it is cut, because half a secret would not be recognised. */
export function outputTail(
  { stdout, stderr }: Pick<ChildResult, 'stdout' | 'stderr'>,
  secrets: readonly string[] = [],
): string {
  const redact = redactor(secrets);
  const tail = (bytes: Buffer): string => redact(bytes.toString('utf8')).slice(-TAIL_CHARS).trim();
  return [tail(stdout), tail(stderr)].filter((text) => text !== '').join('\n');
}
