import { type EntityManager, MikroORM } from '@mikro-orm/postgresql';
import type { RawBuilder } from 'kysely';
import { SluiceError } from '../contract/errors.ts';
import type { WakeUp } from '../domain/wake-up.ts';
import { fullJitterMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import { isConnectionFault, sqlState } from './faults.ts';
import { type OrmOptions, ormOptions } from './orm-options.ts';

export { type RawBuilder, sql } from 'kysely';

/** Runs statements, either inside one transaction or each on its own. */
export interface Reader {
  query<Row>(statement: RawBuilder<Row>): Promise<Row[]>;
}

/** The `id` column of what a statement selects. */
export async function selectIds(reader: Reader, statement: RawBuilder<{ id: string }>): Promise<string[]> {
  return (await reader.query(statement)).map(({ id }) => id);
}

/** One transaction. Wake-ups are sent after its commit, each once; a rollback or a new try forgets them. */
export interface Tx extends Reader {
  wake(...wakeUps: WakeUp[]): void;
  /** Tells that so many objects of a kind moved to a state, for the metrics of the process after the commit. */
  moved(kind: string, to: string, count: number): void;
}

const MAX_TRIES = 8;
const CONFLICT_BACKOFF = { baseMs: 5, capMs: 250 };
const SERIALIZATION_FAULTS = ['40001', '40P01'];

/** One pool of connections to PostgreSQL. */
export class Database implements Component, Reader {
  readonly name = 'database';
  readonly url: string;
  readonly #options: OrmOptions;
  #orm: MikroORM | undefined;

  constructor(options: OrmOptions) {
    this.url = options.url;
    this.#options = options;
  }

  get orm(): MikroORM {
    if (this.#orm === undefined) throw new SluiceError('internal.error', 'the database is used before its start');
    return this.#orm;
  }

  async start(): Promise<void> {
    this.#orm ??= await MikroORM.init(ormOptions(this.#options));
  }

  async stop(): Promise<void> {
    const orm = this.#orm;
    this.#orm = undefined;
    await orm?.close(true);
  }

  /** Returns a new EntityManager, so that callers share no identity map. */
  fork(): EntityManager {
    return this.orm.em.fork() as EntityManager;
  }

  /** Runs one statement on its own. */
  async query<Row>(statement: RawBuilder<Row>): Promise<Row[]> {
    return (await statement.execute(this.fork().getKysely())).rows;
  }

  /**
   * Runs `work` in one transaction. A deadlock or serialisation failure runs it again, so it must have no other effect,
   * or `tries` must be 1.
   */
  async transaction<T>(
    work: (transaction: Reader) => Promise<T>,
    { tries: maxTries = MAX_TRIES }: { tries?: number } = {},
  ): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      try {
        // Kysely's own transaction: it gives the connection back also when COMMIT or ROLLBACK finds it dead.
        return await this.fork()
          .getKysely()
          .transaction()
          .execute((transaction) => work({ query: async (statement) => (await statement.execute(transaction)).rows }));
      } catch (error) {
        const again = tries < maxTries && SERIALIZATION_FAULTS.includes(sqlState(error) ?? '');
        if (!again) throw error;
        await sleep(fullJitterMs(CONFLICT_BACKOFF, tries));
      }
    }
  }

  /** Throws `database.unreachable` when no connection can be made. */
  async ping(): Promise<void> {
    try {
      await this.fork().getConnection().execute('select 1');
    } catch (cause) {
      throw new SluiceError('database.unreachable', 'PostgreSQL does not answer', {
        retryable: isConnectionFault(cause),
        cause,
      });
    }
  }
}
