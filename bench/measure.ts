export interface Measurement {
  seconds: number;
  /** Tasks that ran more or less than once: anything but 0 voids the figure. */
  notOnce: number;
}

/** Counts executions; `allSeen` resolves when every task has run at least once. */
export class ExactlyOnce {
  readonly #counts = new Map<string, number>();
  readonly #expected: number;
  #resolve: () => void = () => {};
  readonly allSeen: Promise<void>;

  constructor(expected: number) {
    this.#expected = expected;
    this.allSeen = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  saw(id: string): void {
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
    if (this.#counts.size === this.#expected) this.#resolve();
  }

  get notOnce(): number {
    const repeated = [...this.#counts.values()].filter((count) => count !== 1).length;
    return repeated + (this.#expected - this.#counts.size);
  }
}

export async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1_000;
}

/** Nearest-rank percentile; NaN for no values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** A Markdown table; every column but the first is aligned to the right. */
export function tableOf(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, column) => (column === 0 ? '---' : '---:'));
  return [line(head), `|${rule.join('|')}|`, ...rows.map(line)].join('\n');
}
