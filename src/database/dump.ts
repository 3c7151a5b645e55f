import { SluiceError } from '../contract/errors.ts';
import { ENTITIES } from '../entities/all.ts';
import { Database, type Reader, sql } from './database.ts';
import { MIGRATIONS } from './migration-list.ts';
import { migrateUp, migrationStatus } from './migrator.ts';

/** One table: its rows as JSON texts, in an order in which they may be inserted. */
export interface TableDump {
  table: string;
  rows: AsyncIterable<string>;
}

/** Rows of these may hold many megabytes, so few are fetched at once. */
const HEAVY = ['tasks', 'patches', 'log_chunks', 'test_gates', 'webhook_deliveries'];
const FETCH = 1_000;
const FETCH_HEAVY = 20;
/** Rows and characters that one statement inserts at most. */
const INSERT_ROWS = 500;
const INSERT_CHARS = 8_000_000;
const INSTALLATION = 'installation';

/**
 * Reads all tables as they are at one moment, and calls `onTable` for one after the other. Returns the names of the
 * migrations that made the schema. Throws `database.behind` for a database without a ledger.
 */
export async function dumpTables(database: Database, onTable: (dump: TableDump) => Promise<void>): Promise<string[]> {
  const status = await migrationStatus(database);
  const migrations = status.filter(({ executed }) => executed).map(({ name }) => name);
  if (migrations.length === 0) throw new SluiceError('database.behind', 'the database holds no ledger to back up');
  await patiently(database, async (tx) => {
    await tx.query(sql`set transaction isolation level repeatable read, read only`);
    for (const table of await knownTables(tx)) await onTable({ table, rows: rowsOf(tx, table) });
  });
  return migrations;
}

async function* rowsOf(tx: Reader, table: string): AsyncGenerator<string, void, undefined> {
  const key = await tx.query<{ column: string }>(sql`
    select a.attname as column from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = ${table}::regclass and i.indisprimary order by array_position(i.indkey::int2[], a.attnum)`);
  const order = sql.join(key.map(({ column }) => sql.id(column)));
  const cursor = sql.id(`dump_${table}`);
  await tx.query(sql`
    declare ${cursor} no scroll cursor for select to_jsonb(t)::text as row from ${sql.table(table)} t order by ${order}`);
  const count = sql.lit(HEAVY.includes(table) ? FETCH_HEAVY : FETCH);
  for (;;) {
    const rows = await tx.query<{ row: string }>(sql`fetch ${count} from ${cursor}`);
    if (rows.length === 0) break;
    for (const { row } of rows) yield row;
  }
  await tx.query(sql`close ${cursor}`);
}

/**
 * Fills an empty database with dumped tables, in one transaction, and brings its schema up to date. Throws
 * `database.newer` for a dump of a newer Sluice, `entity.exists` when the database holds a ledger already.
 */
export async function loadTables(
  database: Database,
  { migrations, tables }: { migrations: readonly string[]; tables: AsyncIterable<TableDump> },
): Promise<void> {
  const known = MIGRATIONS.map(({ name }) => name as string);
  const unknown = migrations.find((name, index) => known[index] !== name);
  if (unknown !== undefined) {
    throw new SluiceError('database.newer', `the backup was made by another Sluice: this one does not know ${unknown}`);
  }
  const executed = (await migrationStatus(database)).filter((migration) => migration.executed);
  if (executed.length > migrations.length) {
    await assertEmpty(database);
    throw new SluiceError('entity.exists', 'the schema is newer than the backup: restore into a new database');
  }
  await migrateUp(database, migrations.at(-1));
  await patiently(database, async (tx) => {
    await assertEmpty(tx);
    const missing = new Set(await knownTables(tx));
    for await (const { table, rows } of tables) {
      if (!missing.delete(table))
        throw new SluiceError('usage.invalid', `the backup is damaged: ${table} is not expected`);
      await loadTable(tx, table, rows);
    }
    if (missing.size > 0) {
      throw new SluiceError('usage.invalid', `the backup is damaged: it lacks ${[...missing].join(', ')}`);
    }
    await continueSequences(tx);
    await beginAnew(tx);
  });
  await migrateUp(database);
}

/** Throws `entity.exists` when any table but the installation holds a row. */
async function assertEmpty(reader: Reader): Promise<void> {
  for (const table of (await knownTables(reader)).filter((name) => name !== INSTALLATION)) {
    const rows = await reader.query(sql`select 1 from ${sql.table(table)} limit 1`);
    if (rows.length === 0) continue;
    throw new SluiceError('entity.exists', `the database is in use (${table} holds rows): restore into an empty one`);
  }
}

/** Returns the tables of the ledger that the schema has, in the order in which rows may be inserted. */
async function knownTables(reader: Reader): Promise<string[]> {
  const known = ENTITIES.map(({ meta }) => meta.tableName);
  const found = await reader.query<{ name: string }>(sql`
    select name from unnest(${known}::text[]) with ordinality as t(name, place)
    where to_regclass(name) is not null order by place`);
  return found.map(({ name }) => name);
}

async function loadTable(tx: Reader, table: string, rows: AsyncIterable<string>): Promise<void> {
  if (table === INSTALLATION) return loadInstallation(tx, rows);
  let batch: string[] = [];
  let chars = 0;
  const insert = async (): Promise<void> => {
    if (batch.length === 0) return;
    const name = sql.table(table);
    await tx.query(sql`
      insert into ${name} select * from jsonb_populate_recordset(null::${name}, ${`[${batch.join(',')}]`}::jsonb)`);
    batch = [];
    chars = 0;
  };
  for await (const row of rows) {
    batch.push(row);
    chars += row.length;
    if (batch.length === INSERT_ROWS || chars > INSERT_CHARS) await insert();
  }
  await insert();
}

/** Takes over the key of verdicts only: a copy beside the original must not share the identity of its queue. */
async function loadInstallation(tx: Reader, rows: AsyncIterable<string>): Promise<void> {
  for await (const row of rows) {
    await tx.query(sql`
      update installation i set verdict_key = r.verdict_key, sealed_since = r.sealed_since
      from jsonb_populate_record(null::installation, ${row}::jsonb) r`);
  }
}

async function continueSequences(tx: Reader): Promise<void> {
  const columns = await tx.query<{ table: string; column: string; sequence: string }>(sql`
    select c.table_name as table, c.column_name as column,
           pg_get_serial_sequence(quote_ident(c.table_name), c.column_name) as sequence
    from information_schema.columns c join pg_tables t on t.tablename = c.table_name and t.schemaname = c.table_schema
    where c.table_schema = current_schema()
      and pg_get_serial_sequence(quote_ident(c.table_name), c.column_name) is not null
      and c.table_name <> 'sluice_migrations'`);
  for (const { table, column, sequence } of columns) {
    await tx.query(sql`
      select setval(${sequence}::regclass, (select coalesce(max(${sql.id(column)}), 0) + 1 from ${sql.table(table)}), false)`);
  }
}

/**
 * Places the history before what comes: numbers of transactions begin anew in another server, and events are read in
 * their order. Webhooks go on after the history.
 */
async function beginAnew(tx: Reader): Promise<void> {
  await tx.query(sql`update state_transitions set xid = pg_current_xact_id()`);
  const [there] = await tx.query<{ is: boolean }>(sql`select to_regclass('webhook_cursors') is not null as is`);
  if (!there!.is) return;
  await tx.query(sql`
    update webhook_cursors set cursor = pg_current_xact_id()::text || '-' ||
      (select coalesce(max(transition_id), 0) from state_transitions), targets_since = now()`);
}

/** Runs a transaction without a statement timeout, once: its input can be read only once. */
async function patiently(database: Database, work: (tx: Reader) => Promise<void>): Promise<void> {
  const patient = new Database({ url: database.url, patient: true });
  await patient.start();
  try {
    await patient.transaction(work, { tries: 1 });
  } finally {
    await patient.stop();
  }
}
