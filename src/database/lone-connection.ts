import { Kysely, PostgresDialect, type RawBuilder } from 'kysely';
import { Pool } from 'pg';
import type { Tx } from './database.ts';

/** One connection without the ORM, for a thread that must not wait behind anybody. */
export class LoneConnection {
  readonly #pool: Pool;
  readonly #kysely: Kysely<unknown>;

  constructor(url: string, { statementTimeoutMs }: { statementTimeoutMs: number }) {
    this.#pool = new Pool({
      connectionString: url,
      max: 1,
      keepAlive: true,
      application_name: 'sluice-heartbeat',
      connectionTimeoutMillis: statementTimeoutMs,
      query_timeout: statementTimeoutMs,
    });
    this.#pool.on('error', () => {});
    this.#kysely = new Kysely({ dialect: new PostgresDialect({ pool: this.#pool }) });
  }

  async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#kysely.transaction().execute((transaction) =>
      work({
        query: async <Row>(statement: RawBuilder<Row>) => (await statement.execute(transaction)).rows,
      }),
    );
  }

  async end(): Promise<void> {
    await this.#kysely.destroy();
  }
}
