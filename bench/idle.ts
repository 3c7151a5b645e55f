import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Database, sql } from '../src/database/database.ts';
import { sleep } from '../src/lib/clock.ts';
import { tableOf } from './measure.ts';
import { costOfTree } from './processes.ts';
import { COUNT_STATEMENTS } from './profile.ts';
import { startServers } from './servers.ts';

const SETTLE_MS = 15_000;
const SPAN_MS = 30_000;

/** Measures what `sluice up --workers 2` costs while it has nothing to do. */
export async function measureIdle(): Promise<string> {
  const servers = await startServers(COUNT_STATEMENTS);
  const rows: (string | number)[][] = [];
  const kinds = servers.redis === undefined ? (['postgres'] as const) : (['redis', 'postgres'] as const);
  for (const kind of kinds) {
    const place = await servers.ledgerAt(kind);
    const sluice = fork(
      fileURLToPath(new URL('../bin/sluice.cjs', import.meta.url)),
      ['up', '--workers=2', '--port=0', `--data-dir=${place.folder}`],
      {
        env: { PATH: process.env.PATH, DATABASE_URL: place.databaseUrl, REDIS_URL: place.redisUrl ?? '' },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      },
    );
    await once(sluice, 'message');
    await sleep(SETTLE_MS);
    const database = new Database({ url: place.databaseUrl, poolSize: 1 });
    await database.start();
    await database.query(sql`create extension if not exists pg_stat_statements`);
    await database.query(sql`select pg_stat_statements_reset()`);
    const before = await costOfTree(sluice.pid!);
    await sleep(SPAN_MS);
    const after = await costOfTree(sluice.pid!);
    const [counted] = await database.query<{ calls: number }>(sql`
      select sum(calls)::float8 as calls from pg_stat_statements
      where dbid = (select oid from pg_database where datname = current_database())`);
    await database.stop();
    const ended = once(sluice, 'exit');
    sluice.kill('SIGTERM');
    await ended;
    rows.push([
      `\`sluice up --workers 2\`, ${kind}`,
      (counted!.calls / (SPAN_MS / 1_000)).toFixed(1),
      `${((100 * (after.cpu - before.cpu)) / (SPAN_MS / 1_000)).toFixed(1)} %`,
      Math.round(after.memoryBytes / 1_048_576),
    ]);
  }
  await servers.stop();
  return tableOf(['idle', 'statements a second', 'of one core', 'memory of all processes, MB'], rows);
}
