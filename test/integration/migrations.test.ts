import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, sql } from '../../src/database/database.ts';
import { MIGRATIONS } from '../../src/database/migration-list.ts';
import { assertSchemaCurrent, migrateDown, migrateUp, migrationStatus } from '../../src/database/migrator.ts';
import { Builders } from '../support/builders.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const SEVEN = ['runs', 'workstreams', 'workers', 'tasks', 'patches', 'test_gates', 'circuit_breakers'];

let test_: TestDatabase;
let database: Database;
beforeAll(async () => {
  test_ = await createTestDatabase();
  database = test_.database;
});
afterAll(async () => {
  await migrateUp(database);
});

async function tables(): Promise<string[]> {
  const rows = await database.query<{ name: string }>(
    sql`select table_name::text as name from information_schema.tables where table_schema = 'public' order by 1`,
  );
  return rows.map(({ name }) => name);
}

test('entities and migrations agree: nothing to add, change or drop, BullMQ’s tables left alone', async () => {
  expect(await database.orm.schema.getUpdateSchemaSQL()).toBe('');
  expect(await database.orm.migrator.checkSchema()).toBe(false);
});

test('each of the seven tables has a migration of its own, in an order that foreign keys allow', () => {
  expect(MIGRATIONS.slice(0, 7).map(({ name }) => name.replace(/^Migration\d+_/, ''))).toEqual(SEVEN);
});

test('a step down and up again keeps the rows of the other tables', async () => {
  const build = new Builders(test_.daos);
  const patch = await build.patch();
  await migrateDown(database, MIGRATIONS[13]!.name);
  expect(await tables()).not.toContain('installation');
  await expect(assertSchemaCurrent(database)).rejects.toMatchObject({ code: 'database.behind', retryable: true });
  await migrateUp(database);
  expect((await test_.daos.patches.get(patch.patch_id)).task_id).toBe(patch.task_id);
  await assertSchemaCurrent(database);
});

test('migrating all the way down leaves no table of Sluice, and all the way up gives the same schema again', async () => {
  await migrateDown(database, '0');
  expect(await tables()).toEqual(['sluice_migrations']);
  await migrateUp(database);
  for (const table of SEVEN) expect(await tables()).toContain(table);
  expect(await database.orm.schema.getUpdateSchemaSQL()).toBe('');
  expect((await migrationStatus(database)).every(({ executed }) => executed)).toBe(true);
});

test('two processes that migrate at once apply each migration once', async () => {
  await migrateDown(database, MIGRATIONS.at(-3)!.name);
  const both = await Promise.all([migrateUp(database), migrateUp(database)]);
  expect(both.map((names) => names.length).toSorted()).toEqual([0, 2]);
});

test('a schema newer than this Sluice is refused', async () => {
  await database.query(
    sql`insert into sluice_migrations (name, executed_at) values ('Migration99990101000000_future', now())`,
  );
  await expect(assertSchemaCurrent(database)).rejects.toMatchObject({ code: 'database.newer', retryable: false });
  await database.query(sql`delete from sluice_migrations where name like '%future'`);
});
