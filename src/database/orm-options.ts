import { Migrator } from '@mikro-orm/migrations';
import { defineConfig, type Options } from '@mikro-orm/postgresql';
import { ENTITIES } from '../entities/all.ts';
import { answeringSocket } from './answering-socket.ts';
import { MIGRATIONS } from './migration-list.ts';

export interface OrmOptions {
  url: string;
  poolSize?: number;
  /** No statement or silence timeout, for migrations, which may rewrite a table or wait for another one. */
  patient?: boolean;
}

/** Returns MikroORM's options. Schemas of other programs in the same database (BullMQ's) are ignored. */
export function ormOptions({ url, poolSize = 10, patient = false }: OrmOptions): Options {
  return defineConfig({
    clientUrl: url,
    entities: ENTITIES,
    extensions: [Migrator],
    pool: { min: 0, max: poolSize },
    driverOptions: {
      application_name: 'sluice',
      connectionTimeoutMillis: 5_000,
      // The server's own timeout fires first (25 s); the socket timeout (30 s) is for a server that is gone.
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
