import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { withAdmin } from '../harness/admin-connection.ts';
import { GitSandbox } from '../harness/git-sandbox.ts';
import { redisIsHere, startRedis, type TestRedis } from '../harness/redis.ts';
import { EmbeddedPostgres } from '../src/database/embedded-postgres.ts';
import { silentLog } from '../src/lib/log.ts';
import type { Measurement } from './measure.ts';
import { measureBullMq, measurePgBoss } from './raw-queues.ts';
import { measureLedger } from './whole-ledger.ts';

const TASKS = Number(process.argv[2] ?? 5_000);

/** Contenders share one machine, one PostgreSQL and one Redis. Compare their ratios, not the figures of two runs. */
const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
const postgres = new EmbeddedPostgres({
  dataDir: folder,
  log: silentLog(),
  searchPath: process.env.PATH ?? '',
  onLoopback: true,
});
await postgres.start();
const redis: TestRedis | undefined = (await redisIsHere()) ? await startRedis() : undefined;
const git = await GitSandbox.create();
try {
  const rows: Measurement[] = [];
  if (redis !== undefined) rows.push(await measureBullMq('redis', redis.url, TASKS));
  rows.push(await measureBullMq('postgres', await newDatabase('raw_bullmq'), TASKS));
  rows.push(await measurePgBoss(await newDatabase('raw_boss'), TASKS));
  if (redis !== undefined) rows.push(await measureLedger('redis', await place('ledger_redis', redis.url), TASKS));
  rows.push(await measureLedger('postgres', await place('ledger_postgres', undefined), TASKS));
  printTable(rows);
  process.exitCode = rows.every(({ notOnce }) => notOnce === 0) ? 0 : 1;
} finally {
  await redis?.stop();
  await git.remove();
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
}

async function place(name: string, redisUrl: string | undefined) {
  return { databaseUrl: await newDatabase(name), redisUrl, repository: git.remote, folder: join(folder, name) };
}

async function newDatabase(name: string): Promise<string> {
  await withAdmin(postgres.url, (client) => client.query(`create database ${name}`));
  return postgres.url.replace(/\/sluice$/, `/${name}`);
}

function printTable(rows: readonly Measurement[]): void {
  const reference = rows.find(({ name }) => name.startsWith('pg-boss'))!;
  const rate = ({ tasks, seconds }: Measurement): number => tasks / seconds;
  console.log(`${TASKS} no-op tasks, ${cpus().length} cores, Node ${process.versions.node}\n`);
  console.log('| contender | tasks/s | against pg-boss | not exactly once |');
  console.log('|---|---:|---:|---:|');
  for (const row of rows) {
    const ratio = (rate(row) / rate(reference)).toFixed(2);
    console.log(`| ${row.name} | ${Math.round(rate(row)).toLocaleString('en')} | ${ratio} | ${row.notOnce} |`);
  }
}
