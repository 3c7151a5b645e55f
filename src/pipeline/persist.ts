import { SluiceError } from '../contract/errors.ts';
import { fullJitterMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';

const BACKOFF = { baseMs: 200, capMs: 5_000 };
const LIMIT_MS = 15 * 60_000;

/**
 * Writes an ending that exists only here, through an outage of the database. Gives up after a quarter of an hour; the
 * lease is long gone then and the fence refuses the write anyway.
 */
export async function persist<T>(write: () => Promise<T>): Promise<T> {
  const endsAt = performance.now() + LIMIT_MS;
  for (let faults = 1; ; faults += 1) {
    try {
      return await write();
    } catch (error) {
      const again = error instanceof SluiceError && error.retryable && performance.now() < endsAt;
      if (!again) throw error;
      await sleep(fullJitterMs(BACKOFF, faults));
    }
  }
}
