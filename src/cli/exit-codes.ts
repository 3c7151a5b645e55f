import { type ErrorCode, SluiceError } from '../contract/errors.ts';

/** Exit codes that the README documents for scripts; 130 is 128 + SIGINT. */
export const EXIT = { done: 0, failed: 1, usage: 2, unreachable: 3, refused: 4, interrupted: 130 } as const;

const UNREACHABLE: readonly ErrorCode[] = [
  'daemon.unreachable',
  'database.unreachable',
  'database.behind',
  'queue.unreachable',
];
const REFUSED: readonly ErrorCode[] = ['auth.missing', 'auth.refused'];
const USAGE: readonly ErrorCode[] = [
  'usage.invalid',
  'spec.invalid',
  'body.invalid',
  'body.too_large',
  'config.invalid',
  'policy.invalid',
  'entity.not_found',
  'idempotency.mismatch',
  'port.in_use',
  'auth.unsafe_listen',
];

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof SluiceError)) return EXIT.failed;
  if (UNREACHABLE.includes(error.code)) return EXIT.unreachable;
  if (REFUSED.includes(error.code)) return EXIT.refused;
  return USAGE.includes(error.code) ? EXIT.usage : EXIT.failed;
}
