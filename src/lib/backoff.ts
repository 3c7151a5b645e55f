export interface BackoffPolicy {
  baseMs: number;
  capMs: number;
}

/** Exponential backoff with full jitter: a delay in [0, min(cap, base · 2^failures)) ms. `random` is in [0, 1). */
export function fullJitterMs(policy: BackoffPolicy, failures: number, random: () => number = Math.random): number {
  const ceiling = Math.min(policy.capMs, policy.baseMs * 2 ** Math.min(failures, 30));
  return Math.floor(random() * ceiling);
}
