import { inject } from 'vitest';
import { withAdmin } from '../../harness/admin-connection.ts';
import { createDaos, type Daos } from '../../src/dao/all.ts';
import { Database } from '../../src/database/database.ts';
import type { WakeUp } from '../../src/domain/wake-up.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import { newId } from '../../src/lib/id.ts';
import { atTheEnd } from './clean-up.ts';

export interface TestDatabase {
  url: string;
  database: Database;
  daos: Daos;
  ledger: Ledger;
  /** Sent by the ledger, in order. */
  wakeUps: WakeUp[];
}

/** Creates a database for this test file from the migrated template; it is dropped at the end of the file. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const url = await cloneTemplate();
  const database = new Database({ url });
  await database.start();
  atTheEnd(() => database.stop());
  const wakeUps: WakeUp[] = [];
  const ledger = new Ledger(database, (wakeUp) => wakeUps.push(wakeUp));
  return { url, database, daos: createDaos(database), ledger, wakeUps };
}

/** Creates the database and returns only its URL, for tests that start separate processes. */
export function cloneTemplate(): Promise<string> {
  return createNamed((name) => `create database ${name} template sluice_template`);
}

/** Creates a database without a schema; it is dropped at the end of the file. */
export function createEmptyDatabase(): Promise<string> {
  return createNamed((name) => `create database ${name}`);
}

async function createNamed(statement: (name: string) => string): Promise<string> {
  const template = inject('templateUrl');
  const url = new URL(template);
  const name = newId('test');
  url.pathname = `/${name}`;
  await withAdmin(template, (client) => client.query(statement(name)));
  atTheEnd(() => withAdmin(template, (client) => client.query(`drop database if exists ${name} with (force)`)));
  return url.href;
}
