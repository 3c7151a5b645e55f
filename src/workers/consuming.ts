import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import { Ticker } from '../lib/ticker.ts';

/** What takes messages of one queue. */
export interface Intake {
  /** Slots that stand empty now. */
  readonly free: number;
  /** When the last message came, on the clock of `performance.now()`. */
  readonly lastDeliveryMs: number;
  /** Takes messages over fresh connections; what is being worked on goes on. */
  reopen(): Promise<void>;
}

export interface ConsumingOptions {
  intakes: readonly Intake[];
  /** Whether work of these queues was dispatched a while ago and nobody has taken it. */
  isWorkWaiting: () => Promise<boolean>;
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

/**
 * Proves that this worker consumes, by what comes of it: work waits and none is taken though slots are empty → fresh
 * connections, then the end of the process. A connection that looks alive and is dead throws nothing.
 */
export class ConsumingWatch implements Component {
  readonly name = 'consuming';
  readonly #options: ConsumingOptions;
  readonly #times: ConsumingTimes;
  readonly #ticker: Ticker;
  #waitingSinceMs: number | undefined;
  #lastWaitingMs = Number.NEGATIVE_INFINITY;
  #reopened = false;

  constructor(options: ConsumingOptions) {
    this.#options = options;
    this.#times = options.times ?? TIMES;
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
    const { intakes, log, onGiveUp, onStarving } = this.#options;
    const now = performance.now();
    const idle = intakes.filter(({ free }) => free > 0);
    if (idle.length > 0 && (await this.#options.isWorkWaiting())) this.#lastWaitingMs = now;
    const lastDeliveryMs = Math.max(...intakes.map((intake) => intake.lastDeliveryMs));
    const waits = idle.length > 0 && now - this.#lastWaitingMs < GAP_MS;
    if (!waits || lastDeliveryMs > (this.#waitingSinceMs ?? now)) {
      this.#waitingSinceMs = undefined;
      if (!this.#reopened) return;
      this.#reopened = false;
      onStarving(false);
      log.info({}, 'worker.consuming_again');
      return;
    }
    this.#waitingSinceMs ??= now;
    const waitedMs = now - this.#waitingSinceMs;
    if (waitedMs < this.#times.reopenAfterMs) return;
    if (!this.#reopened) {
      this.#reopened = true;
      onStarving(true);
      log.error({ waitedMs: Math.round(waitedMs) }, 'worker.not_consuming');
      await Promise.all(idle.map((intake) => intake.reopen()));
      return;
    }
    if (waitedMs < this.#times.giveUpAfterMs || !(await this.#queueAnswers())) return;
    log.fatal({ waitedMs: Math.round(waitedMs) }, 'worker.gives_up');
    onGiveUp();
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
