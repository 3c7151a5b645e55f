import { Client } from 'pg';
import { type BackoffPolicy, fullJitterMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import { answeringSocket } from './answering-socket.ts';
import { type Database, sql } from './database.ts';

const CHANNEL = 'sluice';
const RECONNECT: BackoffPolicy = { baseMs: 200, capMs: 5_000 };
const MAX_PAYLOAD_BYTES = 7_000;
const GATHER_MS = 5;
/** Who only listens hears nothing of a connection that died: it asks now and then. */
const PROVE_EVERY_MS = 5_000;
const END_LIMIT_MS = 1_000;

/** `dispatch`, `landing`, `roll-up`, `start-run`, `cancel:<task or gate id>`: something is there to look at. */
export type Hint = string;
export type SendHint = (hint: Hint) => void;

/** Tells other processes that something changed. A hint may be lost: whoever waits for one polls as well. */
export class HintSender implements Component {
  readonly name = 'hint-sender';
  readonly #database: Database;
  readonly #log: Log;
  readonly #waiting = new Set<Hint>();
  #sending: Promise<void> | undefined;

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#log = log;
  }

  async start(): Promise<void> {}

  readonly send: SendHint = (hint) => {
    this.#waiting.add(hint);
    this.#sending ??= this.#flush();
  };

  async stop(): Promise<void> {
    await this.#sending;
  }

  async #flush(): Promise<void> {
    await sleep(GATHER_MS);
    while (this.#waiting.size > 0) {
      const payload = this.#takePayload();
      try {
        await this.#database.query(sql`select pg_notify(${CHANNEL}, ${payload})`);
      } catch (error) {
        this.#log.debug({ err: error }, 'hint.lost');
      }
    }
    this.#sending = undefined;
  }

  #takePayload(): string {
    let payload = '';
    for (const hint of this.#waiting) {
      if (payload !== '' && payload.length + hint.length + 1 > MAX_PAYLOAD_BYTES) break;
      payload = payload === '' ? hint : `${payload}\n${hint}`;
      this.#waiting.delete(hint);
    }
    return payload;
  }
}

/** Hears hints over a connection of its own; reconnects by itself. */
export class HintListener implements Component {
  readonly name = 'hint-listener';
  readonly #url: string;
  readonly #log: Log;
  readonly #onHint: (hint: Hint) => void;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;

  constructor({ url, log, onHint }: { url: string; log: Log; onHint: (hint: Hint) => void }) {
    this.#url = url;
    this.#log = log;
    this.#onHint = onHint;
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
        this.#log.debug({ err: error, faults }, 'hint-listener.lost');
      }
      await sleep(fullJitterMs(RECONNECT, faults), this.#abort.signal);
    }
  }

  async #listenUntilLost(onConnected: () => void): Promise<void> {
    const client = new Client({
      connectionString: this.#url,
      application_name: 'sluice-hints',
      connectionTimeoutMillis: PROVE_EVERY_MS,
      stream: answeringSocket(2 * PROVE_EVERY_MS),
    });
    const lost = new Promise<void>((resolve) => {
      client.once('error', () => resolve());
      client.once('end', () => resolve());
      this.#abort.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      await client.connect();
      client.on('notification', ({ payload }) => {
        for (const hint of (payload ?? '').split('\n')) this.#onHint(hint);
      });
      await client.query(`listen ${CHANNEL}`);
      onConnected();
      const proving = setInterval(() => void client.query('select 1').catch(() => {}), PROVE_EVERY_MS);
      await lost.finally(() => clearInterval(proving));
    } finally {
      // A goodbye that nobody answers is not waited for.
      await Promise.race([client.end().catch(() => {}), sleep(END_LIMIT_MS)]);
    }
  }
}
