export interface BackoffPolicy {
  baseMs: number;
  capMs: number;
}

/** Exponential backoff without jitter: min(cap, base · 2^failures) ms. */
export function backoffMs({ baseMs, capMs }: BackoffPolicy, failures: number): number {
  return Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
}

/** Exponential backoff with full jitter: a delay in [0, min(cap, base · 2^failures)) ms. `random` is in [0, 1). */
export function fullJitterMs(policy: BackoffPolicy, failures: number, random: () => number = Math.random): number {
  return Math.floor(random() * backoffMs(policy, failures));
}
