import { SluiceError } from '../contract/errors.ts';
import { Database, sql } from './database.ts';
import { codedDatabaseError } from './faults.ts';
import { MIGRATIONS } from './migration-list.ts';

export interface MigrationStatus {
  name: string;
  executed: boolean;
  executed_at: string | null;
}

/** An arbitrary constant: every process that migrates this database takes the same advisory lock. */
const LOCK_KEY = 7_411_2026;

/** Applies all migrations that are missing, or those up to the one named `to`. Returns the names of those applied. */
export async function migrateUp(database: Database, to?: string): Promise<string[]> {
  if ((await migrationStatus(database)).every(({ executed }) => executed)) return [];
  const options = to === undefined ? undefined : { to };
  return underLock(database, async (patient) => (await patient.orm.migrator.up(options)).map(({ name }) => name));
}

/** Reverts the newest migration, or all that came after `to` (`0`: all). */
export async function migrateDown(database: Database, to?: string): Promise<string[]> {
  return underLock(database, async (patient) =>
    (await patient.orm.migrator.down(to === undefined ? undefined : { to: to === '0' ? 0 : to })).map(
      ({ name }) => name,
    ),
  );
}

export async function migrationStatus(database: Database): Promise<MigrationStatus[]> {
  const executed = await executedMigrations(database);
  return MIGRATIONS.map(({ name }) => ({
    name,
    executed: executed.has(name),
    executed_at: executed.get(name) ?? null,
  }));
}

/** Throws `database.newer` or `database.behind` unless the schema is the one that this version expects. */
export async function assertSchemaCurrent(database: Database): Promise<void> {
  const executed = await executedMigrations(database);
  const known = new Set<string>(MIGRATIONS.map(({ name }) => name));
  const unknown = [...executed.keys()].filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw new SluiceError(
      'database.newer',
      `the database was migrated by a newer Sluice: this version does not know ${unknown.join(', ')}`,
    );
  }
  const missing = [...known].filter((name) => !executed.has(name));
  if (missing.length > 0) {
    throw new SluiceError('database.behind', `run "sluice migrate up": ${missing.length} migrations are missing`, {
      retryable: true,
    });
  }
}

async function executedMigrations(database: Database): Promise<Map<string, string>> {
  try {
    return await readExecuted(database);
  } catch (error) {
    throw codedDatabaseError(error);
  }
}

async function readExecuted(database: Database): Promise<Map<string, string>> {
  await assertOwnSchema(database);
  const [{ there } = { there: false }] = await database.query<{ there: boolean }>(
    sql`select to_regclass('sluice_migrations') is not null as there`,
  );
  if (!there) return new Map();
  const rows = await database.query<{ name: string; executed_at: string }>(
    sql`select name, executed_at::text from sluice_migrations order by id`,
  );
  return new Map(rows.map(({ name, executed_at }) => [name, executed_at]));
}

/**
 * Serialises the migrations of several processes. They have no statement timeout, because a migration may take long.
 */
async function underLock<T>({ url }: Database, work: (patient: Database) => Promise<T>): Promise<T> {
  const patient = new Database({ url, patient: true });
  await patient.start();
  try {
    return await patient.transaction(async (tx) => {
      await tx.query(sql`select pg_advisory_xact_lock(${LOCK_KEY}::bigint)`);
      return work(patient);
    });
  } finally {
    await patient.stop();
  }
}

/**
 * Refuses a schema that is named after this role but belongs to another role. PostgreSQL searches that schema first, so
 * its owner could replace tables and run code with this role's rights.
 */
async function assertOwnSchema(database: Database): Promise<void> {
  const found = await database.query(sql`
    select 1 from pg_catalog.pg_namespace
    where nspname = session_user and pg_catalog.pg_get_userbyid(nspowner) <> session_user`);
  if (found.length === 0) return;
  throw new SluiceError(
    'config.invalid',
    'the database has a schema named after this role that belongs to another role: rename or drop it',
  );
}
