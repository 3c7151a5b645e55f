import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { type Database, sql } from '../../src/database/database.ts';
import type { ExecuteAttempt } from '../../src/pipeline/run-task/run-task.ts';
import { atTheEnd } from '../support/clean-up.ts';
import { eventually } from '../support/eventually.ts';
import { specOf, startSluice } from '../support/run-sluice.ts';

/** Statements a second of everything that runs by the clock: heartbeats, leases, looks. */
const BY_THE_CLOCK = 25;

test('a task that does nothing costs no more statements and row versions than these', async () => {
  const tasks = 400;
  const noOp: ExecuteAttempt = async () => {
    return { exitCode: 0, baseCommit: null, fact: null, costUsd: null, ending: { kind: 'unchanged' } };
  };
  const git = await repository();
  const sluice = await startSluice({ workers: [{ taskSlots: 50, execute: noOp }] });
  const { database } = sluice.deps;
  const before = await countsOf(database);
  const all = Array.from({ length: tasks }, (_, n) => ({ name: `t${n}`, tool: 'command', input: { argv: ['true'] } }));
  await sluice.finish(specOf(git.remote, all));
  const after = await countsOf(database);
  const seconds = (after.atMs - before.atMs) / 1_000;
  const each = (key: 'statements' | 'taskRows' | 'auditRows'): number => (after[key] - before[key]) / tasks;
  expect(each('statements') - (seconds * BY_THE_CLOCK) / tasks).toBeLessThan(2.6);
  // Created, queued, dispatched, claimed, ended, counted.
  expect(each('taskRows')).toBeLessThan(6.2);
  expect(each('auditRows')).toBeLessThan(5.2);
  await sluice.stop();
});

test('a landed patch starts no more git processes than these', async () => {
  const patches = 10;
  const git = await repository();
  const { folder, started } = await countingGit();
  const sluice = await startSluice({ environment: { PATH: `${folder}${delimiter}${process.env.PATH}` } });
  const land = async (n: number): Promise<void> => {
    const files = [{ path: `landed/${n}.txt`, content: `${n}\n` }];
    const { run } = await sluice.client.patches.submit({ repository: git.remote, input: { format: 'inline', files } });
    await eventually('the end', async () => (await sluice.client.runs.get(run.id)).state === 'COMPLETED');
  };
  // The first one makes the mirrors.
  await land(0);
  const before = { git: await started(), atMs: performance.now() };
  for (let n = 1; n <= patches; n += 1) await land(n);
  // While patches wait, the tip is read once a second.
  const reads = (performance.now() - before.atMs) / 1_000;
  expect(((await started()) - before.git - 2 * reads) / patches).toBeLessThan(21);
  await sluice.stop();
});

async function repository(): Promise<GitSandbox> {
  const git = await GitSandbox.create();
  atTheEnd(() => git.remove());
  return git;
}

interface Counts {
  atMs: number;
  statements: number;
  /** Inserted and updated rows. */
  taskRows: number;
  auditRows: number;
}

async function countsOf(database: Database): Promise<Counts> {
  await database.query(sql`create extension if not exists pg_stat_statements`);
  // The rows of a transaction are counted shortly after its end.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const [counts] = await database.query<Omit<Counts, 'atMs'>>(sql`
    select (select sum(calls) from pg_stat_statements
            where dbid = (select oid from pg_database where datname = current_database()))::float8 as statements,
           sum(n_tup_ins + n_tup_upd) filter (where relname = 'tasks')::float8 as "taskRows",
           sum(n_tup_ins) filter (where relname = 'state_transitions')::float8 as "auditRows"
    from pg_stat_user_tables`);
  return { atMs: performance.now(), ...counts! };
}

/** A folder with a `git` that counts its starts and runs the real one. */
async function countingGit(): Promise<{ folder: string; started: () => Promise<number> }> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-test-git-'));
  atTheEnd(() => rm(folder, { recursive: true, force: true }));
  const bin = join(folder, 'bin');
  const counted = join(folder, 'started');
  await mkdir(bin);
  await writeFile(counted, '');
  await writeFile(join(bin, 'git'), `#!/bin/sh\necho >> '${counted}'\nPATH='${process.env.PATH}' exec git "$@"\n`);
  await chmod(join(bin, 'git'), 0o755);
  return { folder: bin, started: async () => (await readFile(counted, 'utf8')).length };
}
