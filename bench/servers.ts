import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withAdmin } from '../harness/admin-connection.ts';
import { GitSandbox } from '../harness/git-sandbox.ts';
import { redisIsHere, startRedis, type TestRedis } from '../harness/redis.ts';
import { EmbeddedPostgres } from '../src/database/embedded-postgres.ts';
import { silentLog } from '../src/lib/log.ts';

/** Places in which a Sluice under measurement keeps its data. */
export interface LedgerPlace {
  databaseUrl: string;
  redisUrl: string | undefined;
  repository: string;
  folder: string;
}

/** One PostgreSQL, one Redis where there is one, and one repository, which all contenders share. */
export interface BenchServers {
  redis: TestRedis | undefined;
  /** Creates a database and returns its address. */
  newDatabase: () => Promise<string>;
  /** On Redis where it is installed, unless told otherwise. */
  ledgerAt: (kind?: 'redis' | 'postgres') => Promise<LedgerPlace>;
  stop: () => Promise<void>;
}

export async function startServers(settings: readonly string[] = []): Promise<BenchServers> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  const postgres = new EmbeddedPostgres({
    dataDir: folder,
    log: silentLog(),
    searchPath: process.env.PATH ?? '',
    onLoopback: true,
    settings,
  });
  await postgres.start();
  const redis = (await redisIsHere()) ? await startRedis() : undefined;
  const git = await GitSandbox.create();
  let places = 0;
  const newDatabase = async (): Promise<string> => {
    places += 1;
    const name = `bench_${places}`;
    await withAdmin(postgres.url, (client) => client.query(`create database ${name}`));
    return postgres.url.replace(/\/sluice$/, `/${name}`);
  };
  return {
    redis,
    newDatabase,
    ledgerAt: async (kind = 'redis') => {
      const databaseUrl = await newDatabase();
      const redisUrl = kind === 'redis' ? redis?.url : undefined;
      return { databaseUrl, redisUrl, repository: git.remote, folder: join(folder, `ledger-${places}`) };
    },
    stop: async () => {
      await redis?.stop();
      await git.remove();
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
