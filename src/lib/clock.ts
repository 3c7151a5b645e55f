import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

/** Waits `ms`, or until `signal` aborts. Never throws; returns true when the whole time has passed. */
export async function sleep(ms: number, signal?: AbortSignal | undefined): Promise<boolean> {
  try {
    await delay(ms, undefined, { signal, ref: true });
    return true;
  } catch {
    return false;
  }
}

/** Resolves as `work` does, or throws the reason of `signal` when it aborts before that. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  const settled = new AbortController();
  const aborted = once(signal, 'abort', { signal: settled.signal }).then(() => {
    throw signal.reason;
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    // Both may fail later, when no one listens any more.
    work.catch(() => {});
    aborted.catch(() => {});
    settled.abort();
  }
}

/** Calls `probe` every `everyMs` until it returns a value. Returns undefined after `limitMs` or an abort. */
export async function poll<T>(
  probe: () => Promise<T | undefined>,
  { everyMs, limitMs, signal }: { everyMs: number; limitMs: number; signal?: AbortSignal | undefined },
): Promise<T | undefined> {
  const endsAt = performance.now() + limitMs;
  while (true) {
    const found = await probe();
    if (found !== undefined || performance.now() >= endsAt) return found;
    if (!(await sleep(everyMs, signal))) return undefined;
  }
}
