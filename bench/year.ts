import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { GitSandbox } from '../harness/git-sandbox.ts';
import { Database, sql } from '../src/database/database.ts';
import { migrateUp } from '../src/database/migrator.ts';
import { sizeOfMirror } from '../src/git/maintain-mirror.ts';
import { Ledger } from '../src/ledger/ledger.ts';
import { silentLog } from '../src/lib/log.ts';
import { Prune } from '../src/pipeline/prune.ts';
import { type BenchSluice, startBenchSluice } from './bench-sluice.ts';
import { percentile, tableOf, timed } from './measure.ts';
import { startServers } from './servers.ts';

/**
 * Measures what a year leaves behind: `node bench/year.ts [LANDINGS]`, 365,000 by default (1,000 a day). History comes
 * from SQL and `git fast-import`; landings are timed before it, with it, and after retention has deleted what is old.
 */
const LANDINGS = Number(process.argv[2] ?? 365_000);
const DAYS = 365;
const FILES = 1_000;
const MEASURED = 20;
const CHUNK = 5_000;
const MIB = 1_048_576;

const servers = await startServers();
const git = await GitSandbox.create(
  Object.fromEntries(Array.from({ length: FILES }, (_, i) => [`src/${i % 50}/${i}.txt`, `${i}\n`])),
  { gates: [{ name: 'gate', command: ['true'] }] },
);
const place = await servers.ledgerAt();
await makeLedger();
const sluice = await startBenchSluice({ ...place, taskSlots: 2, gateSlots: 2 });
try {
  const rows = [await measured('before')];
  await addCommits();
  await addRows(sluice);
  rows.push(await measured('with a year of history'));
  const pruneSeconds = await timed(() => prune(sluice));
  await sluice.database.query(sql`vacuum (analyze) tasks`).catch(() => {});
  rows.push(await measured('after retention (90, 30, 180 days)'));
  const head = ['', 'landing, median ms', 'ledger MiB', 'data folder MiB', 'runs', 'audit rows'];
  console.log(tableOf(head, rows));
  console.log(`\nRetention took ${pruneSeconds.toFixed(0)} s for ${LANDINGS} landings.`);
} finally {
  await sluice.stop();
  await git.remove();
  await servers.stop();
}

/** Makes the tables, and leaves numbers for the audit rows of the year before those of now, as in a real ledger. */
async function makeLedger(): Promise<void> {
  const database = new Database({ url: place.databaseUrl });
  await database.start();
  await migrateUp(database);
  const last = 12 * LANDINGS;
  await database.query(
    sql`select setval(pg_get_serial_sequence('state_transitions', 'transition_id'), ${last}::bigint)`,
  );
  await database.stop();
}

async function measured(name: string): Promise<string[]> {
  const times: number[] = [];
  for (let n = 0; n < MEASURED; n += 1) {
    const files = [{ path: `landed/${n}.txt`, content: `${name} ${n}\n` }];
    const { patch } = await sluice.client.patches.submit({
      repository: git.remote,
      input: { format: 'inline', files },
    });
    const { staged_at, applied_at } = await sluice.client.patches.wait(patch.id);
    times.push(Date.parse(applied_at!) - Date.parse(staged_at!));
  }
  const [{ bytes, runs, events }] = (await sluice.database.query<{ bytes: number; runs: number; events: number }>(sql`
    select pg_database_size(current_database())::float8 as bytes, (select count(*)::int from runs) as runs,
           (select count(*)::int from state_transitions) as events`)) as [
    { bytes: number; runs: number; events: number },
  ];
  const cells = [percentile(times, 0.5).toFixed(0), (bytes / MIB).toFixed(0), (await mirrors()).toFixed(0)];
  return [name, ...cells, String(runs), String(events)];
}

async function mirrors(): Promise<number> {
  let bytes = 0;
  const root = join(place.folder, 'data', 'mirrors');
  for (const role of await readdir(root)) {
    for (const name of (await readdir(join(root, role))).filter((entry) => entry.endsWith('.git')))
      bytes += (await sizeOfMirror(join(root, role, name))).sizeBytes;
  }
  return bytes / MIB;
}

/** Adds a commit for each landing of the year; each changes one of the files. */
async function addCommits(): Promise<void> {
  const tip = await git.tip();
  const child = spawn('git', ['--git-dir', git.remote, 'fast-import', '--quiet'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const ended = once(child, 'exit');
  for (let n = 0; n < LANDINGS; n += 1) {
    const content = `landing ${n}\n`;
    const file = n % FILES;
    const from = n === 0 ? `from ${tip}\n` : '';
    const at = 1_700_000_000 + n * 60;
    const commit = `commit refs/heads/main\ncommitter S <s@example.com> ${at} +0000\ndata 2\nL\n${from}M 100644 inline src/${file % 50}/${file}.txt\ndata ${content.length}\n${content}\n`;
    if (!child.stdin.write(commit)) await once(child.stdin, 'drain');
  }
  child.stdin.end();
  await ended;
}

/** Adds the rows of each landing: run, workstream, task, patch, gate, verdict, intent, output and audit. */
async function addRows({ database }: BenchSluice): Promise<void> {
  const [{ target_id: target }] = (await database.query<{ target_id: string }>(sql`select target_id from targets`)) as [
    { target_id: string },
  ];
  for (let from = 1; from <= LANDINGS; from += CHUNK) {
    const upTo = Math.min(LANDINGS, from + CHUNK - 1);
    const each = sql`(select n, lpad(n::text, 8, '0') as k,
      now() - interval '365 days' + n * make_interval(secs => ${(DAYS * 86_400) / LANDINGS}::float8) as at
      from generate_series(${from}::int, ${upTo}::int) as n) as s`;
    await database.query(sql`
      insert into runs (run_id, target_id, name, state, outcome, workstreams_total, workstreams_ended, tasks_total, tasks_ended, progress_percentage, created_at, completed_at)
      select 'run_0y' || k, ${target}, 'nightly', 'COMPLETED', 'succeeded', 1, 1, 1, 1, 100, at, at from ${each}`);
    await database.query(sql`
      insert into workstreams (workstream_id, run_id, state, outcome, rolled_up, tasks_total, tasks_ended, created_at)
      select 'ws_0y' || k, 'run_0y' || k, 'COMPLETED', 'succeeded', true, 1, 1, at from ${each}`);
    await database.query(sql`
      insert into tasks (task_id, workstream_id, run_id, target_id, name, tool, state, outcome, attempt, dispatch, rolled_up, created_at, completed_at)
      select 'task_0y' || k, 'ws_0y' || k, 'run_0y' || k, ${target}, 'fix', 'command', 'COMPLETED', 'succeeded', 1, 1, true, at, at from ${each}`);
    await database.query(sql`
      insert into patches (patch_id, task_id, run_id, target_id, state, file_path, paths, message, diff, commit_id, tree_id, landed_commit, landed_tree, staged_at, applied_at, verified_at, created_at)
      select 'patch_0y' || k, 'task_0y' || k, 'run_0y' || k, ${target}, 'VERIFIED', 'src/a.txt', '{src/a.txt}', 'fix',
             convert_to(repeat(md5(k), 20), 'utf8'), md5(k), md5('t' || k), md5('c' || k), md5('t' || k), at, at, at, at from ${each}`);
    await database.query(sql`
      insert into test_gates (gate_id, task_id, run_id, target_id, test_suite, state, exit_code, definition, digest, tree_id, patch_ids, attempt, created_at, started_at, completed_at)
      select 'gate_0y' || k, 'task_0y' || k, 'run_0y' || k, ${target}, 'gate', 'PASSED', 0, '{"name": "gate", "command": ["true"]}', 'd', md5('t' || k),
             array['patch_0y' || k], 1, at, at, at from ${each}`);
    await database.query(sql`
      insert into gate_verdicts (tree_id, digest, passed, gate_id, gate_name, created_at)
      select md5('t' || k), 'd', true, 'gate_0y' || k, 'gate', at from ${each}`);
    await database.query(sql`
      insert into landing_intents (intent_id, target_id, epoch, old_tip, new_commit, tree_id, patches, proofs, outcome, settled_at, created_at)
      select 'intent_0y' || k, ${target}, 1, md5('o' || k), md5('c' || k), md5('t' || k),
             jsonb_build_array(jsonb_build_object('patch_id', 'patch_0y' || k, 'commit', md5('c' || k), 'tree', md5('t' || k))),
             jsonb_build_array(jsonb_build_object('gate', 'gate', 'digest', 'd', 'tree', md5('t' || k), 'gate_id', 'gate_0y' || k)), 'applied', at, at from ${each}`);
    await database.query(sql`
      insert into log_chunks (task_id, attempt, stream, text, created_at)
      select 'task_0y' || k, 1, 'stdout', repeat('a line of output' || chr(10), 60), at from ${each}`);
    await database.query(sql`
      insert into state_transitions (transition_id, kind, entity_id, run_id, attempt, from_state, to_state, actor, created_at)
      select 11 * (n - 1) + place, kind, prefix || k, 'run_0y' || k, 1, null, state, 'worker', at from ${each}
      cross join (values (1, 'run', 'run_0y', 'RUNNING'), (2, 'run', 'run_0y', 'COMPLETED'), (3, 'task', 'task_0y', 'QUEUED'),
        (4, 'task', 'task_0y', 'RUNNING'), (5, 'task', 'task_0y', 'VALIDATING'), (6, 'task', 'task_0y', 'COMPLETED'),
        (7, 'patch', 'patch_0y', 'STAGED'), (8, 'patch', 'patch_0y', 'APPLIED'), (9, 'patch', 'patch_0y', 'VERIFIED'),
        (10, 'gate', 'gate_0y', 'RUNNING'), (11, 'gate', 'gate_0y', 'PASSED')) as e(place, kind, prefix, state)`);
  }
  await database.query(sql`analyze`);
}

async function prune({ database }: BenchSluice): Promise<void> {
  const ledger = new Ledger(database, () => {});
  const retention = { runs_days: 90, logs_days: 30, events_days: 180 };
  await new Prune({ ledger, log: silentLog(), retention }).round(new AbortController().signal);
}
