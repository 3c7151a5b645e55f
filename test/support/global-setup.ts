import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { withAdmin } from '../../harness/admin-connection.ts';
import { Database } from '../../src/database/database.ts';
import { EmbeddedPostgres } from '../../src/database/embedded-postgres.ts';
import { migrateUp } from '../../src/database/migrator.ts';
import { silentLog } from '../../src/lib/log.ts';
import { createQueueBackend } from '../../src/queues/queue-backend.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Address of the server, with the name of the template as its database. */
    templateUrl: string;
  }
}

/** Starts one real PostgreSQL for all service tests, with a migrated template that each test file clones. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-postgres-'));
  const searchPath = process.env.PATH ?? '';
  const server = new EmbeddedPostgres({
    dataDir,
    log: silentLog(),
    searchPath,
    durable: false,
    onLoopback: true,
    settings: ['shared_preload_libraries=pg_stat_statements'],
  });
  await server.start();
  const templateUrl = server.url.replace(/\/sluice$/, '/sluice_template');
  await withAdmin(server.url, (client) => client.query('create database sluice_template'));
  const database = new Database({ url: templateUrl });
  await database.start();
  await migrateUp(database);
  await createQueueBackend({ redisUrl: undefined, databaseUrl: templateUrl }).prepare('template');
  await database.stop();
  project.provide('templateUrl', templateUrl);
  return async () => {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
}
