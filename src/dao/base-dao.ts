import type { EntityClass, EntityManager, EntitySchema, FilterQuery, RequiredEntityData } from '@mikro-orm/postgresql';
import { SluiceError } from '../contract/errors.ts';
import type { RawBuilder, Reader } from '../database/database.ts';
import { codedDatabaseError } from '../database/faults.ts';
import { newId } from '../lib/id.ts';

export interface EntitySource extends Reader {
  fork(): EntityManager;
}

export interface Page {
  limit: number;
  /** The last id of the previous page; absent for the first page. */
  cursor?: string | undefined;
}

const MAX_LIMIT = 1_000;
const DEFAULT_LIMIT = 50;
/** Making objects of so many rows takes some ten milliseconds of the process. */
const BATCH = 200;

/**
 * Reads and plain writes of one table. Unknown ids throw `entity.not_found`, broken rules `entity.invalid` or
 * `entity.exists`. Only the ledger changes `state`: `update` refuses it with `state.read_only`.
 */
export abstract class BaseDao<Row extends object, Key = string> {
  readonly #source: EntitySource;
  readonly #schema: EntitySchema<Row> | EntityClass<Row>;
  readonly #keyName: keyof Row & string;
  readonly #noun: string;
  readonly #idPrefix: string | undefined;
  readonly #heavy: readonly string[];

  /** `heavy`: large columns that lists leave out; `get` and `find` read them. */
  constructor(
    source: EntitySource,
    table: {
      schema: unknown;
      key: keyof Row & string;
      noun: string;
      idPrefix?: string;
      heavy?: readonly (keyof Row & string)[];
    },
  ) {
    this.#source = source;
    this.#schema = table.schema as EntityClass<Row>;
    this.#keyName = table.key;
    this.#noun = table.noun;
    this.#idPrefix = table.idPrefix;
    this.#heavy = table.heavy ?? [];
  }

  /** Missing columns take their defaults, and a missing id is generated. */
  async create(entity: Partial<Row>): Promise<Row> {
    const id = this.#idPrefix === undefined ? {} : { [this.#keyName]: newId(this.#idPrefix) };
    return this.coded(async (em) => {
      const row = em.create(
        this.#schema,
        { ...id, ...entity } as unknown as RequiredEntityData<Row>,
        { partial: true } as never,
      );
      await em.persist(row as object).flush();
      return em.refresh(row as object) as Promise<Row>;
    });
  }

  /** Throws `entity.not_found` when there is no such row. */
  async get(id: Key): Promise<Row> {
    const row = await this.find(id);
    if (row === undefined) throw this.notFound(id);
    return row;
  }

  async find(id: Key): Promise<Row | undefined> {
    return this.coded(
      async (em) => ((await em.findOne(this.#schema, this.#byKey(id) as never)) as Row | null) ?? undefined,
    );
  }

  async update(id: Key, changes: Partial<Row>): Promise<Row> {
    if ('state' in changes) {
      const facts = { noun: this.#noun };
      throw new SluiceError('state.read_only', `the state of a ${this.#noun} changes only through the ledger`, {
        facts,
      });
    }
    await this.coded(async (em) => {
      const known = em.getMetadata(this.#schema).properties;
      const strange = Object.keys(changes).find((column) => !(column in known));
      if (strange !== undefined) throw new SluiceError('entity.invalid', `a ${this.#noun} has no column ${strange}`);
      const stamp = 'updated_at' in known ? { updated_at: new Date() } : {};
      const touched = await em.nativeUpdate(this.#schema, this.#byKey(id) as never, { ...changes, ...stamp } as never);
      if (touched === 0) throw this.notFound(id);
    });
    return this.get(id);
  }

  async delete(id: Key): Promise<void> {
    const touched = await this.coded((em) => em.nativeDelete(this.#schema, this.#byKey(id) as never));
    if (touched === 0) throw this.notFound(id);
  }

  async listAll(limit: number = DEFAULT_LIMIT, offset = 0): Promise<Row[]> {
    return this.coded((em) =>
      em.find(this.#schema, {} as never, {
        limit: Math.min(limit, MAX_LIMIT),
        offset,
        ...this.#listed('asc'),
      }),
    ) as Promise<Row[]>;
  }

  async findBy(criteria: FilterQuery<Row>): Promise<Row[]> {
    return this.coded((em) => em.find(this.#schema, criteria as never, this.#listed('asc'))) as Promise<Row[]>;
  }

  async count(criteria: FilterQuery<Row> = {} as FilterQuery<Row>): Promise<number> {
    return this.coded((em) => em.count(this.#schema, criteria as never));
  }

  /** Newest first; ids are ordered by time, so the cursor is the last id seen. */
  async page(criteria: FilterQuery<Row>, { limit, cursor }: Page): Promise<Row[]> {
    const below = cursor === undefined ? {} : { [this.#keyName]: { $lt: cursor } };
    return this.coded((em) =>
      em.find(this.#schema, { $and: [criteria, below] } as never, {
        limit: Math.min(limit, MAX_LIMIT),
        ...this.#listed('desc'),
      }),
    ) as Promise<Row[]>;
  }

  /** Yields all rows that match, oldest first, in batches; a batch may be empty. */
  async *batches(criteria: FilterQuery<Row>): AsyncGenerator<Row[], void, undefined> {
    let last: unknown;
    for (;;) {
      const above = last === undefined ? {} : { [this.#keyName]: { $gt: last } };
      const options = { limit: BATCH, ...this.#listed('asc') };
      const rows = await this.coded(
        (em) => em.find(this.#schema, { $and: [criteria, above] } as never, options) as Promise<Row[]>,
      );
      yield rows;
      if (rows.length < BATCH) return;
      last = rows.at(-1)![this.#keyName];
    }
  }

  #listed(order: 'asc' | 'desc'): object {
    return { orderBy: { [this.#keyName]: order }, exclude: [...this.#heavy] };
  }

  /** Runs a query of a DAO on a fresh EntityManager. Rethrows driver errors with an error code. */
  protected async coded<T>(work: (em: EntityManager) => Promise<T>): Promise<T> {
    try {
      return await work(this.#source.fork());
    } catch (error) {
      throw codedDatabaseError(error);
    }
  }

  /** Runs a statement that reads more, or less, than whole rows. */
  protected async rows<T>(statement: RawBuilder<T>): Promise<T[]> {
    try {
      return await this.#source.query(statement);
    } catch (error) {
      throw codedDatabaseError(error);
    }
  }

  #byKey(id: Key): FilterQuery<Row> {
    return (typeof id === 'object' ? id : { [this.#keyName]: id }) as FilterQuery<Row>;
  }

  protected notFound(id: Key): SluiceError {
    return new SluiceError('entity.not_found', `there is no ${this.#noun} ${JSON.stringify(id)}`, {
      facts: { noun: this.#noun, id },
    });
  }
}
