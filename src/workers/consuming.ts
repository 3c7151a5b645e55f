import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import { Ticker } from '../lib/ticker.ts';

/** Consumer of one queue, as `ConsumptionMonitor` sees it. */
export interface Intake {
  readonly queue: string;
  /** Slots that are free now. */
  readonly free: number;
  /** True while it takes nothing on purpose. */
  readonly isPaused: boolean;
  /** Time of the last message, on the clock of `performance.now()`. */
  readonly lastDeliveryMs: number;
  /** Replaces the connections; work in progress continues. */
  reopen(): Promise<void>;
}

export interface ConsumingOptions {
  intakes: readonly Intake[];
  /** Returns the queues with a message that was sent a while ago and that no worker has taken. */
  findWaiting: () => Promise<readonly string[]>;
  /** Throws when the queue backend is unreachable: then this worker's connection is not at fault. */
  pingQueue: () => Promise<void>;
  /** Called at each change. */
  onStarving: (starving: boolean) => void;
  /** Called when new connections did not help. */
  onGiveUp: () => void;
  log: Log;
  times?: ConsumingTimes;
}

export interface ConsumingTimes {
  lookEveryMs: number;
  reopenAfterMs: number;
  giveUpAfterMs: number;
}

/** A lost message is sent again after 5 to 8 s: a worker that takes none for longer than that does not consume. */
const TIMES: ConsumingTimes = { lookEveryMs: 1_000, reopenAfterMs: 6_000, giveUpAfterMs: 20_000 };
/** A message that is sent again briefly does not count as waiting. So short a gap does not prove that it was taken. */
const GAP_MS = 4_000;

/** How long an intake has had a free slot and messages in its queue without taking any. */
interface Starvation {
  lastWaitingMs: number;
  sinceMs: number | undefined;
  reopened: boolean;
}

/**
 * Proves by results that this worker consumes, because a dead connection may report no error. While messages wait and a
 * free slot takes none, it first replaces the connections, then ends the process.
 */
export class ConsumptionMonitor implements Component {
  readonly name = 'consuming';
  readonly #options: ConsumingOptions;
  readonly #times: ConsumingTimes;
  readonly #ticker: Ticker;
  readonly #starvation: ReadonlyMap<Intake, Starvation>;
  #gaveUp = false;

  constructor(options: ConsumingOptions) {
    this.#options = options;
    this.#times = options.times ?? TIMES;
    this.#starvation = new Map(
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
    // A worker without a free slot is not expected to take messages.
    const waiting = intakes.some(({ free }) => free > 0) ? await this.#options.findWaiting() : [];
    const before = this.#starving;
    for (const [intake, starvation] of this.#starvation) await this.#judge(intake, starvation, waiting);
    if (this.#starving !== before) onStarving(this.#starving);
  }

  get #starving(): boolean {
    return [...this.#starvation.values()].some(({ reopened }) => reopened);
  }

  async #judge(intake: Intake, starvation: Starvation, waiting: readonly string[]): Promise<void> {
    const { log } = this.#options;
    const { queue } = intake;
    const now = performance.now();
    if (waiting.includes(queue)) starvation.lastWaitingMs = now;
    const waits = intake.free > 0 && !intake.isPaused && now - starvation.lastWaitingMs < GAP_MS;
    if (!waits || intake.lastDeliveryMs > (starvation.sinceMs ?? now)) {
      if (starvation.reopened) log.info({ queue }, 'worker.consuming_again');
      starvation.sinceMs = undefined;
      starvation.reopened = false;
      return;
    }
    starvation.sinceMs ??= now;
    const waitedMs = Math.round(now - starvation.sinceMs);
    if (!starvation.reopened) {
      if (waitedMs < this.#times.reopenAfterMs) return;
      starvation.reopened = true;
      log.error({ queue, waitedMs }, 'worker.not_consuming');
      await intake.reopen();
      return;
    }
    // Only time in which the queue answers counts: after an outage a connection needs a moment to recover.
    if (!(await this.#queueAnswers())) starvation.sinceMs = now;
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
