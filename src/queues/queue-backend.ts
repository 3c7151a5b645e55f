import { createPostgresBackend, type Job, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { SluiceError } from '../contract/errors.ts';
import type { Work } from '../domain/work.ts';
import { sleep } from '../lib/clock.ts';

/** Carries ids only; all data is in the ledger. Usually one id, several where tasks are short. */
export interface Message {
  work: readonly Work[];
}

export interface QueueBackend {
  /** True: a queue that could not be reached when it was opened fails for ever and must be reopened. */
  readonly remembersRefusal: boolean;
  readonly kind: 'redis' | 'postgres';
  /**
   * Creates what the backend needs; must be called before any queue is opened. `installation` separates the
   * installations that share a Redis. Throws `queue.unreachable`, `queue.policy`.
   */
  prepare(installation: string): Promise<void>;
  openQueue(name: string): Queue<Message>;
  openWorker(name: string, deliver: (job: Job<Message>) => Promise<void>, concurrency: number): Worker<Message>;
  /** Throws `queue.unreachable` when the backend does not answer in time. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

const PING_LIMIT_MS = 2_000;
const ANSWER_LIMIT_MS = 10_000;
/** With a request pending, a Redis connection that is silent for longer is dead. A worker's request may take 5 s. */
const SILENCE_MS = { queue: 2_500, worker: 8_000 } as const;
/** Long, because correctness does not depend on this lock: the claim refuses a job that is delivered twice. */
const LOCK_MS = 60_000;

/** Returns a Redis backend when an address is given, else one in BullMQ's tables of the ledger's database. */
export function createQueueBackend(options: { redisUrl: string | undefined; databaseUrl: string }): QueueBackend {
  return options.redisUrl === undefined ? new PostgresBackend(options.databaseUrl) : new RedisBackend(options.redisUrl);
}

class RedisBackend implements QueueBackend {
  readonly remembersRefusal = false;
  readonly kind = 'redis';
  readonly #url: string;
  #prefix: string | undefined;
  #probe: Redis | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  async prepare(installation: string): Promise<void> {
    this.#prefix = `sluice:${installation}`;
    await this.ping();
    const memory = await this.#probe!.info('memory');
    const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1];
    if (policy !== undefined && policy !== 'noeviction') {
      throw new SluiceError(
        'queue.policy',
        `Redis has maxmemory-policy ${policy}, which can evict messages: set it to noeviction`,
      );
    }
  }

  openQueue(name: string): Queue<Message> {
    // Without a connection a call fails at once instead of waiting in memory, because the ledger publishes again.
    const queue = new Queue<Message>(name, {
      connection: {
        ...this.#connection(),
        maxRetriesPerRequest: 1,
        enableOfflineQueue: false,
        socketTimeout: SILENCE_MS.queue,
      },
      prefix: this.#keyPrefix(),
    });
    queue.on('error', () => {});
    return queue;
  }

  openWorker(name: string, deliver: (job: Job<Message>) => Promise<void>, concurrency: number): Worker<Message> {
    return new Worker<Message>(name, deliver, {
      connection: { ...this.#connection(), maxRetriesPerRequest: null, socketTimeout: SILENCE_MS.worker },
      prefix: this.#keyPrefix(),
      concurrency,
      lockDuration: LOCK_MS,
    });
  }

  async ping(): Promise<void> {
    this.#probe ??= this.#openProbe();
    const probe = this.#probe;
    try {
      await Promise.race([probe.status === 'wait' ? probe.connect() : Promise.resolve(), limit(PING_LIMIT_MS)]);
      await Promise.race([probe.ping(), limit(PING_LIMIT_MS)]);
    } catch (cause) {
      throw new SluiceError('queue.unreachable', 'Redis does not answer', { retryable: true, cause });
    }
  }

  async close(): Promise<void> {
    this.#probe?.disconnect();
    this.#probe = undefined;
  }

  #openProbe(): Redis {
    const probe = new Redis(this.#url, {
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      socketTimeout: SILENCE_MS.queue,
      retryStrategy: (times) => Math.min(2_000, 100 * times),
    });
    probe.on('error', () => {});
    return probe;
  }

  #keyPrefix(): string {
    if (this.#prefix === undefined)
      throw new SluiceError('internal.error', 'a queue was opened before the backend was prepared');
    return this.#prefix;
  }

  #connection() {
    return { url: this.#url, retryStrategy: (times: number) => Math.min(2_000, 50 * times) };
  }
}

class PostgresBackend implements QueueBackend {
  readonly remembersRefusal = true;
  readonly kind = 'postgres';
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async prepare(): Promise<void> {
    const queue = this.#open('sluice-setup', { migrate: true });
    try {
      await queue.waitUntilReady();
    } catch (cause) {
      throw new SluiceError('queue.unreachable', 'the queue tables cannot be created in the database', {
        retryable: true,
        cause,
      });
    } finally {
      await queue.close().catch(() => {});
    }
  }

  openQueue(name: string): Queue<Message> {
    return this.#open(name, {});
  }

  openWorker(name: string, deliver: (job: Job<Message>) => Promise<void>, concurrency: number): Worker<Message> {
    const worker = new Worker(
      name,
      deliver,
      { connection: { ...this.#connection(), max: 4 }, concurrency, lockDuration: LOCK_MS },
      createPostgresBackend,
    );
    return worker as unknown as Worker<Message>;
  }

  /** Does nothing: the ledger is in the same database, and its connection is checked elsewhere. */
  async ping(): Promise<void> {}

  async close(): Promise<void> {}

  /** Queries have a timeout, because an unanswered one means that the connection is dead: it is then replaced. */
  #connection() {
    return {
      connectionString: this.#url,
      connectionTimeoutMillis: ANSWER_LIMIT_MS,
      query_timeout: ANSWER_LIMIT_MS,
      keepAlive: true,
    };
  }

  #open(name: string, extra: { migrate?: boolean }): Queue<Message> {
    const queue = new Queue(
      name,
      { connection: { ...this.#connection(), max: 2, ...extra } },
      createPostgresBackend,
    ) as unknown as Queue<Message>;
    queue.on('error', () => {});
    return queue;
  }
}

async function limit(ms: number): Promise<never> {
  await sleep(ms);
  throw new Error(`no answer in ${ms} ms`);
}
