import type { StopCause } from '../children/child-outcome.ts';

/** A task or gate, and the attempt at it. */
export interface HeldAttempt {
  id: string;
  attempt: number;
}

interface Held extends HeldAttempt {
  abort: AbortController;
}

/**
 * Attempts at tasks and gates that this process works on now. A cancelled attempt may still be ending here when the
 * next attempt at the same task begins.
 */
export class HeldWork {
  readonly #held = new Set<Held>();
  readonly #onChange: () => void;
  #idle: (() => void)[] = [];

  constructor(onChange: () => void = () => {}) {
    this.#onChange = onChange;
  }

  begin(id: string, attempt: number): AbortSignal {
    const abort = new AbortController();
    this.#held.add({ id, attempt, abort });
    this.#onChange();
    return abort.signal;
  }

  end(id: string, attempt: number): void {
    for (const held of this.#held) if (held.id === id && held.attempt === attempt) this.#held.delete(held);
    this.#onChange();
    if (this.#held.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  attempts(): HeldAttempt[] {
    return [...this.#held].map(({ id, attempt }) => ({ id, attempt }));
  }

  abort(id: string, cause: StopCause): void {
    for (const held of this.#held) if (held.id === id) held.abort.abort(cause);
  }

  abortAll(cause: StopCause): void {
    for (const { abort } of this.#held) abort.abort(cause);
  }

  /**
   * Aborts attempts that the heartbeat asked for and the ledger did not confirm: cancelled, or given to another worker.
   * Attempts that began after the request are left alone.
   */
  reconcile(asked: readonly HeldAttempt[], still: readonly HeldAttempt[]): void {
    const isIn = (attempts: readonly HeldAttempt[], { id, attempt }: HeldAttempt): boolean =>
      attempts.some((other) => other.id === id && other.attempt === attempt);
    for (const held of this.#held) {
      if (isIn(asked, held) && !isIn(still, held)) held.abort.abort('lease_lost' satisfies StopCause);
    }
  }

  /** Resolves when nothing is held. */
  whenIdle(): Promise<void> {
    return this.#held.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }
}
