import { type BackoffPolicy, fullJitterMs } from './backoff.ts';
import { sleep } from './clock.ts';
import type { Component } from './component.ts';
import type { Log } from './log.ts';
import { meters, stopwatch } from './meters.ts';

export interface TickerOptions {
  name: string;
  everyMs: number;
  /** Shortest pause between rounds, unless a round asks for the next one; 0 by default. */
  restMs?: number;
  log: Log;
  /** Runs one round. `again` starts the next one at once, because work is left. */
  tick: (signal: AbortSignal) => Promise<'again' | undefined | void>;
}

const FAULT_BACKOFF: BackoffPolicy = { baseMs: 200, capMs: 5_000 };

/**
 * Runs a round every `everyMs`, and at once on `wake`; rounds never overlap, wake-ups during a round give one more round. A
 * round that throws is logged and tried again with backoff.
 */
export class Ticker implements Component {
  readonly name: string;
  readonly #options: TickerOptions;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #woken = false;
  #wake: (() => void) | undefined;

  constructor(options: TickerOptions) {
    this.name = options.name;
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#running ??= this.#loop();
  }

  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#wake?.();
    await this.#running;
  }

  async #loop(): Promise<void> {
    const { tick, log, everyMs, restMs = 0 } = this.#options;
    let faults = 0;
    while (!this.#abort.signal.aborted) {
      this.#woken = false;
      let waitMs = everyMs;
      let goesOn = false;
      const ended = stopwatch(meters.roundSeconds);
      try {
        goesOn = (await tick(this.#abort.signal)) === 'again';
        ended({ stage: this.name });
        faults = 0;
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        faults += 1;
        waitMs = Math.max(everyMs, fullJitterMs(FAULT_BACKOFF, faults));
        this.#woken = false;
        log.error({ err: error, faults }, `${this.name}.failed`);
      }
      if (goesOn) continue;
      if (restMs > 0) await sleep(restMs, this.#abort.signal);
      if (!this.#woken) await this.#pause(waitMs);
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const self = this;
      function done(): void {
        clearTimeout(timer);
        self.#wake = undefined;
        resolve();
      }
      this.#wake = done;
      if (this.#abort.signal.aborted || this.#woken) done();
    });
  }
}
