import { Migrator } from '@mikro-orm/migrations';
import { defineConfig, type Options } from '@mikro-orm/postgresql';
import { ENTITIES } from '../entities/all.ts';
import { answeringSocket } from './answering-socket.ts';
import { MIGRATIONS } from './migration-list.ts';

export interface OrmOptions {
  url: string;
  poolSize?: number;
  /** Waits as long as a statement takes: for migrations, which may rewrite a table or stand behind another's. */
  patient?: boolean;
}

/** MikroORM's options. Tables of others in the same database (BullMQ's schema) are not ours to change. */
export function ormOptions({ url, poolSize = 10, patient = false }: OrmOptions): Options {
  return defineConfig({
    clientUrl: url,
    entities: ENTITIES,
    extensions: [Migrator],
    pool: { min: 0, max: poolSize },
    driverOptions: {
      application_name: 'sluice',
      connectionTimeoutMillis: 5_000,
      // The server gives up first: the silence is for a server that is gone.
      ...(patient ? {} : { statement_timeout: 25_000, stream: answeringSocket(30_000) }),
      keepAlive: true,
    },
    forceUtcTimezone: true,
    schemaGenerator: { ignoreSchema: ['bullmq'] },
    migrations: {
      migrationsList: MIGRATIONS,
      tableName: 'sluice_migrations',
      snapshot: false,
      transactional: true,
      silent: true,
    },
  });
}
