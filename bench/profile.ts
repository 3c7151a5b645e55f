import type { Profiler } from 'node:inspector';
import { Session } from 'node:inspector/promises';
import { performance } from 'node:perf_hooks';
import { Database, sql } from '../src/database/database.ts';
import { cpuOfPostgres } from './processes.ts';

/** Settings of a PostgreSQL server that counts its statements. */
export const COUNT_STATEMENTS = ['shared_preload_libraries=pg_stat_statements', 'pg_stat_statements.track_planning=on'];

const MOST_STATEMENTS = 25;
const MOST_FUNCTIONS = 25;

interface CountedStatement {
  text: string;
  calls: number;
  planMs: number;
  ms: number;
  rows: number;
}

/**
 * Runs `work` and prints what it cost for each of `tasks`: CPU of this process and of PostgreSQL, statements, rows,
 * write-ahead log, the most expensive statements, and the functions of this process with the most CPU.
 */
export async function profiled<T>(
  { databaseUrl, tasks }: { databaseUrl: string; tasks: number },
  work: () => Promise<T>,
): Promise<T> {
  const database = new Database({ url: databaseUrl, poolSize: 1 });
  await database.start();
  await database.query(sql`create extension if not exists pg_stat_statements`);
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  const [walBefore] = await database.query<{ at: string }>(sql`select pg_current_wal_lsn()::text as at`);
  const serverBefore = await cpuOfPostgres();
  const cpuBefore = process.cpuUsage();
  const loopBefore = performance.eventLoopUtilization();
  await database.query(sql`select pg_stat_statements_reset()`);
  await session.post('Profiler.start');
  const result = await work();
  const { profile } = await session.post('Profiler.stop');
  const loop = performance.eventLoopUtilization(loopBefore);
  const cpu = process.cpuUsage(cpuBefore);
  const serverCpu = (await cpuOfPostgres()) - serverBefore;
  const statements = await countedStatements(database);
  const [wal] = await database.query<{ bytes: number }>(
    sql`select pg_wal_lsn_diff(pg_current_wal_lsn(), ${walBefore!.at}::pg_lsn)::float8 as bytes`,
  );
  await database.stop();
  const sum = (key: 'calls' | 'rows' | 'ms'): number => statements.reduce((all, each) => all + each[key], 0);
  console.log('| a task | |\n|---|---:|');
  console.log(`| CPU of this process, ms | ${((cpu.user + cpu.system) / 1_000 / tasks).toFixed(3)} |`);
  console.log(`| CPU of PostgreSQL, ms | ${((serverCpu * 1_000) / tasks).toFixed(3)} |`);
  console.log(`| statements | ${(sum('calls') / tasks).toFixed(3)} |`);
  console.log(`| rows returned or written | ${(sum('rows') / tasks).toFixed(2)} |`);
  console.log(`| write-ahead log, kB | ${(wal!.bytes / 1_024 / tasks).toFixed(1)} |`);
  console.log(`| utilisation of the event loop | ${loop.utilization.toFixed(2)} |`);
  console.log(
    '\n| calls | ms in all | ms each | of it planning | rows a call | statement |\n|---:|---:|---:|---:|---:|---|',
  );
  for (const { text, calls, planMs, ms, rows } of statements.slice(0, MOST_STATEMENTS)) {
    const cells = [
      calls,
      Math.round(ms),
      (ms / calls).toFixed(2),
      (planMs / calls).toFixed(2),
      (rows / calls).toFixed(1),
      text,
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
  console.log('\n| ms | function |\n|---:|---|');
  for (const [name, ms] of functionsOf(profile)) console.log(`| ${Math.round(ms)} | ${name} |`);
  return result;
}

async function countedStatements(database: Database): Promise<CountedStatement[]> {
  const found = await database.query<CountedStatement>(sql`
    select query as text, calls::float8 as calls, total_plan_time as "planMs", total_exec_time + total_plan_time as ms, rows::float8 as rows
    from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())
    order by total_exec_time + total_plan_time desc`);
  return found.map((each) => ({ ...each, text: each.text.replaceAll(/\s+/g, ' ').replaceAll('|', '¦').slice(0, 120) }));
}

/** Self time by function, most first. */
function functionsOf({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): [string, number][] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  for (const [at, node] of samples.entries()) {
    const name = names.get(node) ?? '';
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[at] ?? 0) / 1_000);
  }
  return [...times].toSorted(([, a], [, b]) => b - a).slice(0, MOST_FUNCTIONS);
}

function nameOf({ functionName, url, lineNumber }: { functionName: string; url: string; lineNumber: number }): string {
  const file = url.split('/').slice(-3).join('/');
  return `${functionName || '(anonymous)'} ${file}${file === '' ? '' : `:${lineNumber + 1}`}`;
}
