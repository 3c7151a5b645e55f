import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import { Ticker } from '../lib/ticker.ts';

/** What takes messages of one queue. */
export interface Intake {
  readonly queue: string;
  /** Slots that stand empty now. */
  readonly free: number;
  /** When the last message came, on the clock of `performance.now()`. */
  readonly lastDeliveryMs: number;
  /** Takes messages over fresh connections; what is being worked on goes on. */
  reopen(): Promise<void>;
}

export interface ConsumingOptions {
  intakes: readonly Intake[];
  /** The queues in which something was sent a while ago that nobody has taken. */
  findWaiting: () => Promise<readonly string[]>;
  /** Throws when the queue itself is away: then nobody's connection is to blame. */
  pingQueue: () => Promise<void>;
  /** Said at each change. */
  onStarving: (starving: boolean) => void;
  /** Nothing helped. */
  onGiveUp: () => void;
  log: Log;
  times?: ConsumingTimes;
}

export interface ConsumingTimes {
  lookEveryMs: number;
  reopenAfterMs: number;
  giveUpAfterMs: number;
}

/** A lost message is sent again after five to eight seconds: whoever takes none for longer than that is not consuming. */
const TIMES: ConsumingTimes = { lookEveryMs: 1_000, reopenAfterMs: 6_000, giveUpAfterMs: 20_000 };
/** A message that is sent again is young for a moment: no proof that somebody takes it. */
const GAP_MS = 4_000;

/** Since when an intake has an empty slot, work in its own queue, and takes none. */
interface Hunger {
  lastWaitingMs: number;
  sinceMs: number | undefined;
  reopened: boolean;
}

/**
 * Proves that this worker consumes, by what comes of it: work waits in a queue and none is taken though a slot for it is empty →
 * fresh connections, then the end of the process. A connection that looks alive and is dead throws nothing.
 */
export class ConsumingWatch implements Component {
  readonly name = 'consuming';
  readonly #options: ConsumingOptions;
  readonly #times: ConsumingTimes;
  readonly #ticker: Ticker;
  readonly #hungers: ReadonlyMap<Intake, Hunger>;
  #gaveUp = false;

  constructor(options: ConsumingOptions) {
    this.#options = options;
    this.#times = options.times ?? TIMES;
    this.#hungers = new Map(
      options.intakes.map((intake) => [
        intake,
        { lastWaitingMs: Number.NEGATIVE_INFINITY, sinceMs: undefined, reopened: false },
      ]),
    );
    const { lookEveryMs } = this.#times;
    this.#ticker = new Ticker({ name: 'consuming', everyMs: lookEveryMs, log: options.log, tick: () => this.look() });
  }

  start(): Promise<void> {
    return this.#ticker.start();
  }

  stop(): Promise<void> {
    return this.#ticker.stop();
  }

  async look(): Promise<void> {
    const { intakes, onStarving } = this.#options;
    // All its slots full, a worker has nothing to prove.
    const waiting = intakes.some(({ free }) => free > 0) ? await this.#options.findWaiting() : [];
    const before = this.#starving;
    for (const [intake, hunger] of this.#hungers) await this.#judge(intake, hunger, waiting);
    if (this.#starving !== before) onStarving(this.#starving);
  }

  get #starving(): boolean {
    return [...this.#hungers.values()].some(({ reopened }) => reopened);
  }

  async #judge(intake: Intake, hunger: Hunger, waiting: readonly string[]): Promise<void> {
    const { log } = this.#options;
    const { queue } = intake;
    const now = performance.now();
    if (waiting.includes(queue)) hunger.lastWaitingMs = now;
    const waits = intake.free > 0 && now - hunger.lastWaitingMs < GAP_MS;
    if (!waits || intake.lastDeliveryMs > (hunger.sinceMs ?? now)) {
      if (hunger.reopened) log.info({ queue }, 'worker.consuming_again');
      hunger.sinceMs = undefined;
      hunger.reopened = false;
      return;
    }
    hunger.sinceMs ??= now;
    const waitedMs = Math.round(now - hunger.sinceMs);
    if (!hunger.reopened) {
      if (waitedMs < this.#times.reopenAfterMs) return;
      hunger.reopened = true;
      log.error({ queue, waitedMs }, 'worker.not_consuming');
      await intake.reopen();
      return;
    }
    // Only time in which the queue answers counts: after an outage a connection needs a moment to come back.
    if (!(await this.#queueAnswers())) hunger.sinceMs = now;
    else if (waitedMs >= this.#times.giveUpAfterMs) this.#giveUp(queue, waitedMs);
  }

  #giveUp(queue: string, waitedMs: number): void {
    if (this.#gaveUp) return;
    this.#gaveUp = true;
    this.#options.log.fatal({ queue, waitedMs }, 'worker.gives_up');
    this.#options.onGiveUp();
  }

  async #queueAnswers(): Promise<boolean> {
    try {
      await this.#options.pingQueue();
      return true;
    } catch {
      return false;
    }
  }
}
