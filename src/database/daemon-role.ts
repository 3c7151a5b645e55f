import { SluiceError } from '../contract/errors.ts';
import { type Reader, sql } from './database.ts';
import { sqlState } from './faults.ts';

/** History tables: the daemon role may add rows, but only the owner may update or delete them. */
const APPEND_ONLY = ['gate_verdicts', 'landing_intents', 'state_transitions', 'sluice_migrations'];
/** Columns of `landing_intents` that the daemon role may update, to settle an intent after its push. */
const SETTLING = ['outcome', 'settled_at'];
const QUEUE_SCHEMA = 'bullmq';
const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Lets a role run schedulers, workers and the API on a schema that another role owns. Creates the role, without a
 * password, when it is missing. Later migrations grant their tables to it too. Throws `config.invalid` when the current
 * role may not grant.
 */
export async function grantDaemonRole(tx: Reader, role: string): Promise<void> {
  try {
    const known = await tx.query(sql`select 1 from pg_roles where rolname = ${role}`);
    if (known.length === 0) await tx.query(sql`create role ${sql.id(role)} login`);
    await tx.query(sql`update installation set daemon_role = ${role}`);
    await grantTables(tx, role);
    await handOverQueue(tx, role);
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    const message =
      'this role may not grant: run the command as the owner of the schema; to create a role, it needs CREATEROLE';
    throw new SluiceError('config.invalid', message, { cause: error });
  }
}

/** Repeats the grants after migrations when run by the owner, because new tables belong to the owner alone. */
export async function grantAgain(tx: Reader): Promise<void> {
  const [row] = await tx.query<{ role: string | null }>(sql`select daemon_role as role from installation`);
  const [owns] = await tx.query<{ owns: boolean }>(
    sql`select pg_catalog.pg_get_userbyid(relowner) = current_user as owns from pg_catalog.pg_class
        where oid = 'gate_verdicts'::regclass`,
  );
  if (row?.role && owns?.owns) await grantTables(tx, row.role);
}

async function grantTables(tx: Reader, role: string): Promise<void> {
  const to = sql.id(role);
  await tx.query(sql`grant usage on schema public to ${to}`);
  await tx.query(sql`grant select, insert, update, delete on all tables in schema public to ${to}`);
  await tx.query(sql`grant usage, select on all sequences in schema public to ${to}`);
  const tables = sql.join(APPEND_ONLY.map((table) => sql.id(table)));
  await tx.query(sql`revoke update, delete on ${tables} from ${to}`);
  await tx.query(sql`revoke insert on sluice_migrations from ${to}`);
  const columns = sql.join(SETTLING.map((column) => sql.id(column)));
  await tx.query(sql`grant update (${columns}) on landing_intents to ${to}`);
}

/**
 * Lets the role create the schema of a PostgreSQL queue, which must own it. Drops a schema that another role made: the
 * ledger holds everything in it and fills the next queue.
 */
async function handOverQueue(tx: Reader, role: string): Promise<void> {
  const [here] = await tx.query<{ database: string; owner: string | null }>(sql`
    select current_database() as database,
           (select pg_get_userbyid(nspowner) from pg_namespace where nspname = ${QUEUE_SCHEMA}) as owner`);
  await tx.query(sql`grant create on database ${sql.id(here!.database)} to ${sql.id(role)}`);
  const isAnothers = here!.owner !== null && here!.owner !== role;
  if (isAnothers) await tx.query(sql`drop schema ${sql.id(QUEUE_SCHEMA)} cascade`);
}
