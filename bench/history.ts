import { sql } from '../src/database/database.ts';
import { type BenchSluice, startBenchSluice } from './bench-sluice.ts';
import { percentile, tableOf, timed } from './measure.ts';
import type { BenchServers } from './servers.ts';
import { noOp, noOpRun, untilEnded } from './whole-ledger.ts';

const DRAINED = 5_000;
const TIMES = 100;

/** The same drain and the same questions on a fresh ledger and on one that holds a long history. */
export async function measureHistory(servers: BenchServers, finished: number): Promise<string> {
  const place = await servers.ledgerAt();
  const sluice = await startBenchSluice({ ...place, taskSlots: 50, gateSlots: 1, execute: noOp(() => {}) });
  const fresh = await measure(sluice, place.repository);
  await fill(sluice, finished);
  const filled = await measure(sluice, place.repository);
  await sluice.stop();
  const ratio = (name: string): string => (filled.get(name)! / fresh.get(name)!).toFixed(2);
  return tableOf(
    ['', 'fresh ledger', `${finished.toLocaleString('en')} finished tasks`, 'ratio'],
    [...fresh.keys()].map((name) => [name, fresh.get(name)!.toFixed(1), filled.get(name)!.toFixed(1), ratio(name)]),
  );
}

async function measure(sluice: BenchSluice, repository: string): Promise<Map<string, number>> {
  const { client } = sluice;
  const seconds = await timed(async () => {
    const { id } = await client.runs.submit(noOpRun(repository, DRAINED));
    await untilEnded(sluice, id);
  });
  const { id: runId } = await client.runs.submit(noOpRun(repository, 10));
  await untilEnded(sluice, runId);
  const taskId = (await client.tasks.list({ run: runId })).items[0]!.id;
  const questions: Record<string, () => Promise<unknown>> = {
    'runs, first page': () => client.runs.list(),
    'tasks, first page': () => client.tasks.list(),
    'tasks of a run': () => client.tasks.list({ run: runId }),
    'tasks FAILED': () => client.tasks.list({ state: 'FAILED' }),
    'tasks of a tool without any': () => client.tasks.list({ tool: 'nothing' }),
    'one run': () => client.runs.get(runId),
    'explain a task': () => client.explain(taskId),
    statistics: () => client.stats(),
    'patches, first page': () => client.patches.list(),
  };
  const found = new Map([['tasks drained a second', DRAINED / seconds]]);
  for (const [name, ask] of Object.entries(questions)) {
    const times: number[] = [];
    for (let n = 0; n < TIMES; n += 1) times.push((await timed(async () => void (await ask()))) * 1_000);
    found.set(`${name}, 99th percentile ms`, percentile(times, 0.99));
  }
  return found;
}

const TASKS_A_RUN = 1_000;

/** Writes finished runs with their tasks and five audit rows a task, as a year of work leaves them. */
async function fill({ database }: BenchSluice, finished: number): Promise<void> {
  const runs = Math.ceil(finished / TASKS_A_RUN);
  const [{ target_id: targetId }] = (await database.query<{ target_id: string }>(
    sql`select target_id from targets`,
  )) as [{ target_id: string }];
  await database.query(sql`
    insert into runs (run_id, target_id, state, outcome, workstreams_total, workstreams_ended, tasks_total, tasks_ended, created_at, completed_at)
    select 'run_0h' || n, ${targetId}, 'COMPLETED', 'succeeded', 1, 1, ${TASKS_A_RUN}, ${TASKS_A_RUN},
           now() - interval '1 year' + n * interval '1 minute', now() - interval '1 year' + n * interval '1 minute'
    from generate_series(1, ${runs}::int) as n`);
  await database.query(sql`
    insert into workstreams (workstream_id, run_id, state, outcome, rolled_up, tasks_total, tasks_ended)
    select 'ws_0h' || n, 'run_0h' || n, 'COMPLETED', 'succeeded', true, ${TASKS_A_RUN}, ${TASKS_A_RUN}
    from generate_series(1, ${runs}::int) as n`);
  const edges = [
    [null, 'PENDING'],
    ['PENDING', 'QUEUED'],
    ['QUEUED', 'RUNNING'],
    ['RUNNING', 'VALIDATING'],
    ['VALIDATING', 'COMPLETED'],
  ] as const;
  for (let run = 1; run <= runs; run += 1) {
    // A run at a time: a statement for all of them would meet the limit of a statement's time.
    await database.query(sql`
      insert into tasks (task_id, workstream_id, run_id, target_id, name, tool, state, outcome, attempt, dispatch, rolled_up, completed_at)
      select 'task_0h' || lpad(${run}::text, 6, '0') || '_' || n, 'ws_0h' || ${run}, 'run_0h' || ${run}, ${targetId}, 't' || n, 'command',
             case when n % 100 = 0 then 'FAILED' else 'COMPLETED' end, case when n % 100 = 0 then 'failed' else 'succeeded' end,
             1, 1, true, now() - interval '1 year'
      from generate_series(1, ${TASKS_A_RUN}::int) as n`);
    for (const [from, to] of edges)
      await database.query(sql`
        insert into state_transitions (kind, entity_id, run_id, attempt, from_state, to_state, actor, created_at)
        select 'task', 'task_0h' || lpad(${run}::text, 6, '0') || '_' || n, 'run_0h' || ${run}, 1, ${from}, ${to}, 'worker', now() - interval '1 year'
        from generate_series(1, ${TASKS_A_RUN}::int) as n`);
  }
  await database.query(sql`analyze`);
}
