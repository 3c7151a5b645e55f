import { Kysely, PostgresDialect } from 'kysely';
import { Pool } from 'pg';
import { SluiceError } from '../contract/errors.ts';
import { answeringSocket } from './answering-socket.ts';
import type { Tx } from './database.ts';

/** One connection without the ORM, for the heartbeat thread, which must not queue for the shared pool. */
export class LoneConnection {
  readonly #pool: Pool;
  readonly #kysely: Kysely<unknown>;

  /** A connection without traffic for `silentMs` is closed. */
  constructor(url: string, { silentMs }: { silentMs: number }) {
    this.#pool = new Pool({
      connectionString: url,
      max: 1,
      keepAlive: true,
      application_name: 'sluice-heartbeat',
      connectionTimeoutMillis: silentMs,
      stream: answeringSocket(silentMs),
    });
    this.#pool.on('connect', (client) => {
      // The query in flight fails on its own; without a listener, the `error` event would end the thread.
      client.on('error', () => {});
      // A crash of the server may lose the last heartbeats, and the next one makes up for them: waiting for the disk
      // would be most of their cost.
      client.query('set synchronous_commit = off').catch(() => {});
    });
    this.#pool.on('error', () => {});
    this.#kysely = new Kysely({ dialect: new PostgresDialect({ pool: this.#pool }) });
  }

  /** Each statement commits by itself. Its one user, the heartbeat, moves nothing that a stage waits for. */
  readonly tx: Tx = {
    query: async (statement) => (await statement.execute(this.#kysely)).rows,
    wake: (...wakeUps) => {
      if (wakeUps.length > 0) throw new SluiceError('internal.error', `no wake-up is sent from here: ${wakeUps}`);
    },
    // The thread of the heartbeat has no metrics of its own.
    moved: () => {},
  };

  async end(): Promise<void> {
    await this.#kysely.destroy();
  }
}
