import type { Worker } from 'bullmq';
import { SluiceError } from '../contract/errors.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import type { Message, QueueBackend } from './queue-backend.ts';

export interface ConsumerOptions {
  backend: QueueBackend;
  queue: string;
  concurrency: number;
  deliver: (message: Message) => Promise<void>;
  log: Log;
}

const LOG_EVERY_MS = 10_000;
const CLOSE_LIMIT_MS = 5_000;

/** Takes messages of one queue. The one place where the error of a handler gets its class. */
export class QueueConsumer implements Component {
  readonly name: string;
  readonly #options: ConsumerOptions;
  #worker: Worker<Message> | undefined;
  #delivering = 0;
  #lastDeliveryMs = Number.NEGATIVE_INFINITY;
  #lastLogged = Number.NEGATIVE_INFINITY;
  #paused = false;

  constructor(options: ConsumerOptions) {
    this.name = `consumer:${options.queue}`;
    this.#options = options;
  }

  get queue(): string {
    return this.#options.queue;
  }

  get free(): number {
    return this.#options.concurrency - this.#delivering;
  }

  get lastDeliveryMs(): number {
    return this.#lastDeliveryMs;
  }

  async start(): Promise<void> {
    this.#worker = this.#open(this.#options.concurrency);
  }

  /**
   * Fresh connections, in the place of ones that may be dead without a word. What is being delivered goes on and keeps its
   * slot; what the old connection still fetches comes again, and the claim takes it once.
   */
  async reopen(): Promise<void> {
    const old = this.#worker;
    if (old === undefined || this.#paused || this.free < 1) return;
    this.#worker = this.#open(this.free);
    // A close that waits for an answer would wait for ever.
    await this.#withinLimit(old.close(true));
  }

  /** Takes no more; what is being delivered goes on. */
  async pause(): Promise<void> {
    this.#paused = true;
    await this.#worker?.pause(true);
  }

  /** Resolves when the last delivery has ended. */
  async stop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    // Without a connection BullMQ would wait for one; nothing is being delivered by then (the drain has seen to it).
    if (worker !== undefined) await this.#withinLimit(worker.close());
  }

  #open(concurrency: number): Worker<Message> {
    const { backend, queue } = this.#options;
    const worker = backend.openWorker(queue, ({ data }) => this.#deliver(worker, data), concurrency);
    worker.on('error', (error) => this.#logOnce(error));
    return worker;
  }

  async #withinLimit(closing: Promise<void>): Promise<void> {
    const limit = new AbortController();
    await Promise.race([closing.catch((error) => this.#logOnce(error)), sleep(CLOSE_LIMIT_MS, limit.signal)]);
    limit.abort();
  }

  /** Never throws: a job that failed in BullMQ's eyes is retried by nobody. The ledger dispatches again. */
  async #deliver(by: Worker<Message>, message: Message): Promise<void> {
    const { deliver, log, queue } = this.#options;
    // Fetched over connections that were given up: its slot is another's by now, and it is sent again.
    if (this.#worker !== undefined && by !== this.#worker) return;
    this.#delivering += 1;
    this.#lastDeliveryMs = performance.now();
    try {
      await deliver(message);
    } catch (error) {
      const retryable = error instanceof SluiceError && error.retryable;
      log[retryable ? 'warn' : 'error']({ err: error, queue, ...message, retryable }, 'delivery.failed');
    } finally {
      this.#delivering -= 1;
      // A slot that was held under an earlier connection is this one's now.
      const current = this.#worker;
      if (current !== undefined && current !== by) current.concurrency += 1;
    }
  }

  /** A connection that is down says so many times a second. */
  #logOnce(error: Error): void {
    if (performance.now() - this.#lastLogged < LOG_EVERY_MS) return;
    this.#lastLogged = performance.now();
    this.#options.log.warn({ err: error, queue: this.#options.queue }, 'queue.fault');
  }
}
