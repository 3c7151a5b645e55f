/** Time over which a pool's rate is measured. */
const SPAN_MS = 1_000;
/** Share of the tasks of one span that is kept in the queue ahead of the slots. */
const AHEAD = 0.25;
/** A message carries what one worker drains in this share of the span. */
const TOGETHER = 0.05;
/** Limit of tasks in one message. */
const MOST_TOGETHER = 100;

/** Measures how fast the slots of each pool turn over, by the tasks admitted to refill its window in the last second. */
export class DrainRate {
  readonly #clockMs: () => number;
  readonly #admitted = new Map<string, { atMs: number; count: number }[]>();

  constructor(clockMs: () => number = () => performance.now()) {
    this.#clockMs = clockMs;
  }

  /** Records that `count` tasks were admitted to a pool. */
  count(pool: string, count: number): void {
    this.#admitted.set(pool, [...this.#recent(pool), { atMs: this.#clockMs(), count }]);
  }

  /** Returns how many tasks to keep in the queue beyond the usual window: 0 for a pool whose tasks last longer. */
  ahead(pool: string): number {
    return Math.floor(AHEAD * this.#drained(pool));
  }

  /** Returns how many tasks one message of a pool with so many workers carries: 1 where tasks last. */
  together(pool: string, workers: number): number {
    const share = Math.floor((TOGETHER * this.#drained(pool)) / Math.max(1, workers));
    return Math.max(1, Math.min(MOST_TOGETHER, share));
  }

  /** Tasks of the last span. The first admission filled the window; those after it replaced what the slots took. */
  #drained(pool: string): number {
    const recent = this.#recent(pool);
    this.#admitted.set(pool, recent);
    return recent.slice(1).reduce((sum, { count }) => sum + count, 0);
  }

  #recent(pool: string): { atMs: number; count: number }[] {
    const since = this.#clockMs() - SPAN_MS;
    return (this.#admitted.get(pool) ?? []).filter(({ atMs }) => atMs > since);
  }
}
