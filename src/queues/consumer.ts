import type { Worker } from 'bullmq';
import { SluiceError } from '../contract/errors.ts';
import type { Work } from '../domain/work.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import type { Message, QueueBackend } from './queue-backend.ts';

export interface ConsumerOptions {
  backend: QueueBackend;
  queue: string;
  /** Limit of deliveries at a time. */
  slots: number;
  deliver: (work: Work) => Promise<void>;
  /** Returns work to the ledger that came here and cannot begin soon, so that another worker gets it. */
  giveBack: (work: readonly Work[]) => Promise<void>;
  log: Log;
}

interface Waiting {
  work: Work;
  sinceMs: number;
  /** True: it has a slot now. */
  settle: (hasSlot: boolean) => void;
}

/** Work that has waited here for so long may be long work: a worker with a free slot should have it. */
const PATIENCE_MS = 1_000;
const LOG_EVERY_MS = 10_000;
const CLOSE_LIMIT_MS = 5_000;

/**
 * Takes messages of one queue and delivers each piece of their work in a slot. Errors of handlers are classified as
 * retryable or not only here.
 */
export class QueueConsumer implements Component {
  readonly name: string;
  readonly #options: ConsumerOptions;
  #worker: Worker<Message> | undefined;
  /** Messages taken whose work has not all ended. */
  #open = 0;
  #busySlots = 0;
  /** Work that came in one message with other work and waits here for a slot. */
  #waiting: Waiting[] = [];
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
    return this.#options.slots - this.#busySlots;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  get lastDeliveryMs(): number {
    return this.#lastDeliveryMs;
  }

  async start(): Promise<void> {
    this.#worker = this.#connect(this.#options.slots);
  }

  /**
   * Replaces the connections, which may be dead without having reported an error. Deliveries in progress continue and
   * keep their slots. A message that the old connection still fetches is dropped and dispatched again.
   */
  async reopen(): Promise<void> {
    const old = this.#worker;
    if (old === undefined || this.#paused || this.free < 1) return;
    this.#worker = this.#connect(this.#options.slots - this.#open);
    // Forced: a graceful close waits for ever for an answer on a dead connection.
    await this.#withinLimit(old.close(true));
  }

  /** Takes no more messages; deliveries in progress continue. */
  async pause(): Promise<void> {
    this.#paused = true;
    this.#returnWaiting(() => true);
    await this.#worker?.pause(true);
  }

  /** Takes messages again after `pause`. */
  async resume(): Promise<void> {
    this.#paused = false;
    await this.#worker?.resume();
  }

  /** Resolves when the last delivery has ended, or after the time limit. */
  async stop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    // Limited, because BullMQ waits for a connection when it has none. The drain has ended all deliveries by then.
    if (worker !== undefined) await this.#withinLimit(worker.close());
  }

  #connect(concurrency: number): Worker<Message> {
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

  async #deliver(by: Worker<Message>, message: Message): Promise<void> {
    // Fetched over a replaced connection: its slot now belongs to the new one, and the message is sent again.
    if (this.#worker !== undefined && by !== this.#worker) return;
    // An older version sent one task or gate a message, without a list.
    const work = message.work ?? [message as unknown as Work];
    if (this.#paused) return this.#giveBack(work);
    this.#open += 1;
    this.#lastDeliveryMs = performance.now();
    await Promise.all(work.map((each) => this.#inSlot(each)));
    this.#open -= 1;
    // The slot of a message that was taken on an earlier connection passes to the current one.
    const current = this.#worker;
    if (current !== undefined && current !== by) current.concurrency += 1;
  }

  async #inSlot(work: Work): Promise<void> {
    if (this.free > 0) this.#busySlots += 1;
    else if (!(await this.#slotFor(work))) return;
    await this.#handOver(work);
    const next = this.#waiting.shift();
    if (next === undefined) this.#busySlots -= 1;
    else next.settle(true);
  }

  /** False when the work was given back instead. */
  #slotFor(work: Work): Promise<boolean> {
    return new Promise((settle) => {
      this.#waiting.push({ work, sinceMs: performance.now(), settle });
      if (this.#waiting.length === 1) this.#watchWaiting();
    });
  }

  #watchWaiting(): void {
    setTimeout(() => {
      this.#returnWaiting(({ sinceMs }) => performance.now() - sinceMs >= PATIENCE_MS);
      if (this.#waiting.length > 0) this.#watchWaiting();
    }, PATIENCE_MS / 4);
  }

  #returnWaiting(isReturned: (one: Waiting) => boolean): void {
    const returned = this.#waiting.filter(isReturned);
    if (returned.length === 0) return;
    this.#waiting = this.#waiting.filter((one) => !returned.includes(one));
    for (const { settle } of returned) settle(false);
    void this.#giveBack(returned.map(({ work }) => work));
  }

  /** If this fails, the work counts as lost after a while and is dispatched again. */
  async #giveBack(work: readonly Work[]): Promise<void> {
    const { giveBack, log, queue } = this.#options;
    await giveBack(work).catch((err) => log.warn({ err, queue, count: work.length }, 'queue.not_given_back'));
  }

  /** Never throws, because BullMQ never retries a job that failed. The ledger dispatches the work again. */
  async #handOver(work: Work): Promise<void> {
    const { deliver, log, queue } = this.#options;
    try {
      await deliver(work);
    } catch (error) {
      const retryable = error instanceof SluiceError && error.retryable;
      log[retryable ? 'warn' : 'error']({ err: error, queue, ...work, retryable }, 'delivery.failed');
    }
  }

  /** Limits logging, because a connection that is down reports an error many times a second. */
  #logOnce(error: Error): void {
    if (performance.now() - this.#lastLogged < LOG_EVERY_MS) return;
    this.#lastLogged = performance.now();
    this.#options.log.warn({ err: error, queue: this.#options.queue }, 'queue.fault');
  }
}
