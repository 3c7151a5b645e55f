import type { Queue } from 'bullmq';
import { SluiceError } from '../contract/errors.ts';
import type { Work } from '../domain/work.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import type { Message, QueueBackend } from './queue-backend.ts';
import { type QueueFamily, queueName } from './queue-names.ts';

/** Timeout of a publish. With Redis it is long enough to give up a dead connection and try again over a new one. */
const PUBLISH_LIMIT_MS = 4_000;
const LATE = new Error('no answer in time');
const CLOSE_LIMIT_MS = 2_000;
const KEPT_JOBS = 200;

export interface PooledMessage extends Message {
  pool: string;
  /** Shown by Bull Board. */
  name: string;
  work: readonly [Work, ...Work[]];
}

/** Puts messages into the queues of their pools. */
export class QueuePublisher implements Component {
  readonly name = 'queue-publisher';
  readonly #backend: QueueBackend;
  readonly #queues = new Map<string, Queue<Message>>();

  constructor(backend: QueueBackend) {
    this.#backend = backend;
  }

  async start(): Promise<void> {}

  /**
   * Publishes in bulk, with a timeout. Throws `queue.unreachable`; its fact `in_doubt` is true when the messages may
   * still arrive.
   */
  async publish(family: QueueFamily, messages: readonly PooledMessage[]): Promise<void> {
    const byQueue = Map.groupBy(messages, ({ pool }) => queueName(family, pool));
    for (const [name, batch] of byQueue) {
      const jobs = batch.map(({ name: jobName, work }) => ({
        name: jobName,
        data: { work: work.map(({ id, dispatch }) => ({ id, dispatch })) },
        // Id and dispatch counter: a repeated id would be lost while the first one lives.
        opts: {
          jobId: `${work[0].id}.${work[0].dispatch}`,
          attempts: 1,
          removeOnComplete: KEPT_JOBS,
          removeOnFail: KEPT_JOBS,
        },
      }));
      const expired = new AbortController();
      const late = sleep(PUBLISH_LIMIT_MS, expired.signal).then((wholeTime) => {
        if (wholeTime) throw LATE;
      });
      try {
        await Promise.race([this.queue(name).addBulk(jobs), late]);
      } catch (cause) {
        if (cause !== LATE && this.#backend.remembersRefusal) this.#forget(name);
        const facts = { in_doubt: cause === LATE };
        throw new SluiceError('queue.unreachable', 'the queue did not accept the messages', {
          retryable: true,
          cause,
          facts,
        });
      } finally {
        expired.abort();
      }
    }
  }

  queue(name: string): Queue<Message> {
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      queue = this.#backend.openQueue(name);
      this.#queues.set(name, queue);
    }
    return queue;
  }

  /** Closes a queue that failed to connect; the next use opens a new one. */
  #forget(name: string): void {
    const queue = this.#queues.get(name);
    this.#queues.delete(name);
    queue?.close().catch(() => {});
  }

  async stop(): Promise<void> {
    const queues = [...this.#queues.values()];
    this.#queues.clear();
    // Limited, because a close may wait for an answer that never comes.
    const closed = Promise.all(queues.map((queue) => queue.close().catch(() => {})));
    const limit = new AbortController();
    await Promise.race([closed, sleep(CLOSE_LIMIT_MS, limit.signal)]);
    limit.abort();
  }
}
