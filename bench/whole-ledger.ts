import { Database, sql } from '../src/database/database.ts';
import { poll } from '../src/lib/clock.ts';
import type { ExecuteAttempt } from '../src/pipeline/run-task/run-task.ts';
import { startBenchSluice } from './bench-sluice.ts';
import { ExactlyOnce, type Measurement, timed } from './measure.ts';

const SLOTS = 50;

/** Measures no-op tasks through everything but the tool: admission, queue, claim, ending, audit rows, roll-up. */
export async function measureLedger(
  kind: 'redis' | 'postgres',
  place: { databaseUrl: string; redisUrl: string | undefined; repository: string; folder: string },
  tasks: number,
): Promise<Measurement> {
  const seen = new ExactlyOnce(tasks);
  const execute: ExecuteAttempt = async (_deps, task) => {
    seen.saw(task.task_id);
    return { exitCode: 0, baseCommit: null, fact: null, costUsd: null, ending: { kind: 'unchanged' } };
  };
  const sluice = await startBenchSluice({ ...place, taskSlots: SLOTS, gateSlots: 1, execute });
  const argv = ['true'];
  const spec = {
    name: 'bench',
    repository: place.repository,
    workstreams: [
      {
        name: 'noop',
        tasks: Array.from({ length: tasks }, (_, i) => ({ name: `t${i}`, tool: 'command', input: { argv } })),
      },
    ],
  };
  let runId = '';
  const seconds = await timed(async () => {
    runId = (await sluice.client.runs.submit(spec)).id;
    const ended = await poll(
      async () => ((await sluice.client.runs.get(runId)).state === 'COMPLETED' ? true : undefined),
      { everyMs: 50, limitMs: 10 * 60_000 },
    );
    if (ended === undefined) throw new Error('the run of the bench did not end');
  });
  const repeated = await repeatedEndings(place.databaseUrl, runId);
  await sluice.stop();
  return {
    name: `Sluice, whole ledger, ${kind === 'redis' ? 'Redis' : 'PostgreSQL'}`,
    tasks,
    seconds,
    notOnce: seen.notOnce + repeated,
  };
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
