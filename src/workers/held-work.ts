import type { StopCause } from '../tools/classify-ending.ts';

interface Held {
  attempt: number;
  abort: AbortController;
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

  ids(): string[] {
    return [...this.#held.keys()];
  }

  abort(id: string, cause: StopCause): void {
    this.#held.get(id)?.abort.abort(cause);
  }

  abortAll(cause: StopCause): void {
    for (const id of this.ids()) this.abort(id, cause);
  }

  /** What was asked for and is not ours any more ends: cancelled, or given to somebody else. */
  reconcile(asked: readonly string[], held: readonly { id: string; attempt: number }[]): void {
    for (const id of asked) {
      const mine = this.#held.get(id);
      const still = held.find((row) => row.id === id);
      if (mine !== undefined && still?.attempt !== mine.attempt) mine.abort.abort('lease_lost' satisfies StopCause);
    }
  }

  /** Resolves when nothing is held. */
  whenIdle(): Promise<void> {
    return this.#held.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }
}
