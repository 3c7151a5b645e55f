import { Client } from 'pg';
import type { WakeUp } from '../domain/wake-up.ts';
import { type BackoffPolicy, fullJitterMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import { answeringSocket } from './answering-socket.ts';
import { type Database, sql } from './database.ts';

const CHANNEL = 'sluice';
const RECONNECT: BackoffPolicy = { baseMs: 200, capMs: 5_000 };
const MAX_PAYLOAD_BYTES = 7_000;
/** Shortest time between two notifications of one process. */
const GATHER_MS = 5;
/** A connection that only listens never notices that its peer died, so it asks now and then. */
const PROVE_EVERY_MS = 5_000;
const END_LIMIT_MS = 1_000;

export type SendWakeUp = (wakeUp: WakeUp) => void;

/** Tells other processes that something changed. A wake-up may be lost, so every receiver polls as well. */
export class WakeUpSender implements Component {
  readonly name = 'wake-up-sender';
  readonly #database: Database;
  readonly #log: Log;
  readonly #waiting = new Set<WakeUp>();
  #sending: Promise<void> | undefined;
  #sentAtMs = Number.NEGATIVE_INFINITY;

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#log = log;
  }

  async start(): Promise<void> {}

  readonly send: SendWakeUp = (wakeUp) => {
    this.#waiting.add(wakeUp);
    this.#sending ??= this.#flush();
  };

  async stop(): Promise<void> {
    await this.#sending;
  }

  async #flush(): Promise<void> {
    // Lets the other wake-ups of the same commit join the first.
    await Promise.resolve();
    while (this.#waiting.size > 0) {
      // The first ones go at once; later ones gather while those are sent, and for `GATHER_MS` after their start.
      const waitMs = this.#sentAtMs + GATHER_MS - performance.now();
      if (waitMs > 0) await sleep(waitMs);
      const payload = this.#takePayload();
      this.#sentAtMs = performance.now();
      try {
        await this.#database.query(sql`select pg_notify(${CHANNEL}, ${payload})`);
      } catch (error) {
        this.#log.debug({ err: error }, 'wake-up.lost');
      }
    }
    this.#sending = undefined;
  }

  #takePayload(): string {
    let payload = '';
    for (const wakeUp of this.#waiting) {
      if (payload !== '' && payload.length + wakeUp.length + 1 > MAX_PAYLOAD_BYTES) break;
      payload = payload === '' ? wakeUp : `${payload}\n${wakeUp}`;
      this.#waiting.delete(wakeUp);
    }
    return payload;
  }
}

/** Receives wake-ups over its own connection and reconnects after a loss. */
export class WakeUpListener implements Component {
  readonly name = 'wake-up-listener';
  readonly #url: string;
  readonly #log: Log;
  readonly #onWakeUp: (wakeUp: WakeUp) => void;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;

  constructor({ url, log, onWakeUp }: { url: string; log: Log; onWakeUp: (wakeUp: WakeUp) => void }) {
    this.#url = url;
    this.#log = log;
    this.#onWakeUp = onWakeUp;
  }

  async start(): Promise<void> {
    this.#running ??= this.#stayConnected();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #stayConnected(): Promise<void> {
    let faults = 0;
    while (!this.#abort.signal.aborted) {
      try {
        await this.#listenUntilLost(() => {
          faults = 0;
        });
      } catch (error) {
        faults += 1;
        this.#log.debug({ err: error, faults }, 'wake-up-listener.lost');
      }
      await sleep(fullJitterMs(RECONNECT, faults), this.#abort.signal);
    }
  }

  async #listenUntilLost(onConnected: () => void): Promise<void> {
    const client = new Client({
      connectionString: this.#url,
      application_name: 'sluice-wake-ups',
      connectionTimeoutMillis: PROVE_EVERY_MS,
      stream: answeringSocket(2 * PROVE_EVERY_MS),
    });
    const lost = new Promise<void>((resolve) => {
      // Not only once: a second error without a listener would end the process.
      client.on('error', () => resolve());
      client.once('end', () => resolve());
      this.#abort.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      await client.connect();
      client.on('notification', ({ payload }) => {
        for (const wakeUp of (payload ?? '').split('\n')) this.#onWakeUp(wakeUp as WakeUp);
      });
      await client.query(`listen ${CHANNEL}`);
      onConnected();
      const proving = setInterval(() => void client.query('select 1').catch(() => {}), PROVE_EVERY_MS);
      await lost.finally(() => clearInterval(proving));
    } finally {
      // The wait for a clean close is bounded, because a lost server never answers it.
      await Promise.race([client.end().catch(() => {}), sleep(END_LIMIT_MS)]);
    }
  }
}
