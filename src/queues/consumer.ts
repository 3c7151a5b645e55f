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
  #lastLogged = Number.NEGATIVE_INFINITY;

  constructor(options: ConsumerOptions) {
    this.name = `consumer:${options.queue}`;
    this.#options = options;
  }

  async start(): Promise<void> {
    const { backend, queue, concurrency } = this.#options;
    this.#worker = backend.openWorker(queue, ({ data }) => this.#deliver(data), concurrency);
    this.#worker.on('error', (error) => this.#logOnce(error));
  }

  /** Takes no more; what is being delivered goes on. */
  async pause(): Promise<void> {
    await this.#worker?.pause(true);
  }

  /** Resolves when the last delivery has ended. */
  async stop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker === undefined) return;
    // Without a connection BullMQ would wait for one; nothing is being delivered by then (the drain has seen to it).
    const closed = worker.close().catch((error) => this.#logOnce(error));
    const limit = new AbortController();
    await Promise.race([closed, sleep(CLOSE_LIMIT_MS, limit.signal)]);
    limit.abort();
  }

  /** Never throws: a job that failed in BullMQ's eyes is retried by nobody. The ledger dispatches again. */
  async #deliver(message: Message): Promise<void> {
    const { deliver, log, queue } = this.#options;
    try {
      await deliver(message);
    } catch (error) {
      const retryable = error instanceof SluiceError && error.retryable;
      log[retryable ? 'warn' : 'error']({ err: error, queue, ...message, retryable }, 'delivery.failed');
    }
  }

  /** A connection that is down says so many times a second. */
  #logOnce(error: Error): void {
    if (performance.now() - this.#lastLogged < LOG_EVERY_MS) return;
    this.#lastLogged = performance.now();
    this.#options.log.warn({ err: error, queue: this.#options.queue }, 'queue.fault');
  }
}
