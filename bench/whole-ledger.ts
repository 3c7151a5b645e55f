import { Database, sql } from '../src/database/database.ts';
import { poll } from '../src/lib/clock.ts';
import type { ExecuteAttempt } from '../src/pipeline/run-task/run-task.ts';
import { type BenchSluice, startBenchSluice } from './bench-sluice.ts';
import { ExactlyOnce, type Measurement, timed } from './measure.ts';
import type { LedgerPlace } from './servers.ts';

export interface LedgerLoad {
  tasks: number;
  slots: number;
  /** Called around the drain, to profile it. */
  around?: <T>(work: () => Promise<T>) => Promise<T>;
}

/** Measures no-op tasks through everything but the tool: admission, queue, claim, ending, audit rows, roll-up. */
export async function measureLedger(place: LedgerPlace, load: LedgerLoad): Promise<Measurement> {
  const { tasks, slots, around = (work) => work() } = load;
  const seen = new ExactlyOnce(tasks);
  const sluice = await startBenchSluice({
    ...place,
    taskSlots: slots,
    gateSlots: 1,
    execute: noOp((id) => seen.saw(id)),
  });
  let runId = '';
  const seconds = await around(() =>
    timed(async () => {
      runId = (await sluice.client.runs.submit(noOpRun(place.repository, tasks))).id;
      await untilEnded(sluice, runId);
    }),
  );
  const repeated = await repeatedEndings(place.databaseUrl, runId);
  await sluice.stop();
  return { seconds, notOnce: seen.notOnce + repeated };
}

/** An attempt that does nothing and changes nothing. */
export function noOp(onStart: (taskId: string) => void): ExecuteAttempt {
  return async (_deps, task) => {
    onStart(task.task_id);
    return { exitCode: 0, baseCommit: null, fact: null, costUsd: null, ending: { kind: 'unchanged' } };
  };
}

export function noOpRun(repository: string, tasks: number) {
  const all = Array.from({ length: tasks }, (_, i) => ({ name: `t${i}`, tool: 'command', input: { argv: ['true'] } }));
  return { name: 'bench', repository, workstreams: [{ name: 'noop', tasks: all }] };
}

export async function untilEnded({ client }: BenchSluice, runId: string): Promise<void> {
  const ended = await poll(async () => ((await client.runs.get(runId)).state === 'COMPLETED' ? true : undefined), {
    everyMs: 50,
    limitMs: 30 * 60_000,
  });
  if (ended === undefined) throw new Error('the run of the bench did not end');
}

/** Counts tasks that the audit does not show COMPLETED exactly once. */
async function repeatedEndings(databaseUrl: string, runId: string): Promise<number> {
  const database = new Database({ url: databaseUrl, poolSize: 1 });
  await database.start();
  const [row] = await database.query<{ n: number }>(sql`
    select count(*)::int as n from tasks t
    where t.run_id = ${runId} and 1 <> (
      select count(*) from state_transitions s where s.entity_id = t.task_id and s.to_state = 'COMPLETED')`);
  await database.stop();
  return row!.n;
}
