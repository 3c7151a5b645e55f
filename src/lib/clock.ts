/** Waits `ms`, or until `signal` aborts. Never throws; returns true when the whole time has passed. */
export function sleep(ms: number, signal?: AbortSignal | undefined): Promise<boolean> {
  if (signal?.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', wake);
      resolve(true);
    }, ms);
    signal?.addEventListener('abort', wake, { once: true });
  });
}

/** Resolves as `work` does, or throws the reason of `signal` when it aborts before that. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  let giveUp: () => void = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    giveUp = () => reject(signal.reason);
  });
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', giveUp);
    // It may fail later, when no one listens any more.
    work.catch(() => {});
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
