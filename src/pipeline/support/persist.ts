import { SluiceError } from '../../contract/errors.ts';
import { fullJitterMs } from '../../lib/backoff.ts';
import { sleep } from '../../lib/clock.ts';

const BACKOFF = { baseMs: 200, capMs: 5_000 };
const LIMIT_MS = 15 * 60_000;
/** Limit for work that was stopped, cancelled or lost its lease: the ledger takes it back or refuses the write. */
const ABORTED_LIMIT_MS = 3_000;

/**
 * Writes an ending that only this process knows, and retries through an outage of the database. Gives up after 15
 * minutes: the lease has expired long before, and the fence refuses the write anyway.
 */
export async function persist<T>(write: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const startedAt = performance.now();
  for (let faults = 1; ; faults += 1) {
    try {
      return await write();
    } catch (error) {
      const limitMs = signal.aborted ? ABORTED_LIMIT_MS : LIMIT_MS;
      const again = error instanceof SluiceError && error.retryable && performance.now() - startedAt < limitMs;
      if (!again) throw error;
      await sleep(fullJitterMs(BACKOFF, faults), signal.aborted ? undefined : signal);
    }
  }
}
