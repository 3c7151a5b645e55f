/** Time over which a pool's rate is measured. */
const SPAN_MS = 1_000;
/** Work that stands ready ahead of the slots: as much as they drained in this share of the span. */
const AHEAD = 0.25;

/** How fast the slots of each pool turn over, by what was admitted for them lately. */
export class DrainRate {
  readonly #clockMs: () => number;
  readonly #admitted = new Map<string, { atMs: number; count: number }[]>();

  constructor(clockMs: () => number = () => performance.now()) {
    this.#clockMs = clockMs;
  }

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
