interface Waiting<Item, Answer> {
  item: Item;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

export interface GroupCommitOptions<Item, Answer> {
  /** Two items with the same key never share a batch. Without `keyOf`, any two may. */
  keyOf?: (item: Item) => string;
  /** Commits the whole batch and returns one answer for each item, in order. */
  commit: (items: Item[]) => Promise<Answer[]>;
  maxBatch: number;
}

/**
 * Lets concurrent callers share a transaction: while one batch commits, the next one gathers. A failed batch is retried
 * item by item, so that each caller gets its own answer. Answers settle after the commit.
 */
export class GroupCommit<Item, Answer> {
  readonly #options: GroupCommitOptions<Item, Answer>;
  #waiting: Waiting<Item, Answer>[] = [];
  #committing = false;

  constructor(options: GroupCommitOptions<Item, Answer>) {
    this.#options = options;
  }

  submit(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#committing) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#committing = true;
    // Yield once, so that callers of the same turn share the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#commitBatch(this.#takeBatch());
    this.#committing = false;
  }

  #takeBatch(): Waiting<Item, Answer>[] {
    const batch: Waiting<Item, Answer>[] = [];
    const left: Waiting<Item, Answer>[] = [];
    const keys = new Set<string>();
    for (const waiting of this.#waiting) {
      const key = this.#options.keyOf?.(waiting.item);
      if (batch.length >= this.#options.maxBatch || (key !== undefined && keys.has(key))) {
        left.push(waiting);
      } else {
        if (key !== undefined) keys.add(key);
        batch.push(waiting);
      }
    }
    this.#waiting = left;
    return batch;
  }

  async #commitBatch(batch: Waiting<Item, Answer>[]): Promise<void> {
    try {
      const answers = await this.#options.commit(batch.map((waiting) => waiting.item));
      for (const [index, waiting] of batch.entries()) waiting.resolve(answers[index]!);
    } catch (error) {
      if (batch.length === 1) {
        batch[0]!.reject(error);
        return;
      }
      for (const waiting of batch) await this.#commitBatch([waiting]);
    }
  }
}
