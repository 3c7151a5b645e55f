/** Time over which a pool's rate is measured. */
const SPAN_MS = 1_000;
/** Share of the tasks of one span that is kept in the queue ahead of the slots. */
const AHEAD = 0.25;

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
    const recent = this.#recent(pool);
    this.#admitted.set(pool, recent);
    // The first admission filled the window; those after it replaced what the slots took.
    return Math.floor(AHEAD * recent.slice(1).reduce((sum, { count }) => sum + count, 0));
  }

  #recent(pool: string): { atMs: number; count: number }[] {
    const since = this.#clockMs() - SPAN_MS;
    return (this.#admitted.get(pool) ?? []).filter(({ atMs }) => atMs > since);
  }
}
