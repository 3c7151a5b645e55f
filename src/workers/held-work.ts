import type { StopCause } from '../tools/classify-ending.ts';

interface Held {
  attempt: number;
  abort: AbortController;
}

/** A task or gate, and the attempt at it. */
export interface HeldAttempt {
  id: string;
  attempt: number;
}

/** The tasks and gates that this process works on now. */
export class HeldWork {
  readonly #held = new Map<string, Held>();
  readonly #onChange: () => void;
  #idle: (() => void)[] = [];

  constructor(onChange: () => void = () => {}) {
    this.#onChange = onChange;
  }

  begin(id: string, attempt: number): AbortSignal {
    const abort = new AbortController();
    this.#held.set(id, { attempt, abort });
    this.#onChange();
    return abort.signal;
  }

  end(id: string): void {
    this.#held.delete(id);
    this.#onChange();
    if (this.#held.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  attempts(): HeldAttempt[] {
    return [...this.#held].map(([id, { attempt }]) => ({ id, attempt }));
  }

  abort(id: string, cause: StopCause): void {
    this.#held.get(id)?.abort.abort(cause);
  }

  abortAll(cause: StopCause): void {
    for (const { abort } of this.#held.values()) abort.abort(cause);
  }

  /** What was asked for and is not ours any more ends: cancelled, or given to somebody else. Of what began meanwhile the answer says nothing. */
  reconcile(asked: readonly HeldAttempt[], held: readonly HeldAttempt[]): void {
    for (const { id, attempt } of asked) {
      const mine = this.#held.get(id);
      if (mine?.attempt !== attempt) continue;
      if (!held.some((row) => row.id === id && row.attempt === attempt))
        mine.abort.abort('lease_lost' satisfies StopCause);
    }
  }

  /** Resolves when nothing is held. */
  whenIdle(): Promise<void> {
    return this.#held.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }
}
