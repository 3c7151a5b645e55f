import { poll } from '../src/lib/clock.ts';
import { startBenchSluice } from './bench-sluice.ts';
import { tableOf, timed } from './measure.ts';
import type { BenchServers } from './servers.ts';
import { noOp, noOpRun, untilEnded } from './whole-ledger.ts';

const SIZES = [1_000, 10_000, 100_000];

/** One run of many no-op tasks: until it is accepted, until every task is QUEUED or further, and until it has ended. */
export async function measureLargeRuns(servers: BenchServers): Promise<string> {
  const rows: (string | number)[][] = [];
  for (const tasks of SIZES) {
    const place = await servers.ledgerAt();
    const sluice = await startBenchSluice({ ...place, taskSlots: 50, gateSlots: 1, execute: noOp(() => {}) });
    const startedAt = performance.now();
    let runId = '';
    const accepted = await timed(async () => {
      runId = (await sluice.client.runs.submit(noOpRun(place.repository, tasks))).id;
    });
    await poll(
      async () => ((await sluice.daos.tasks.count({ run_id: runId, state: 'PENDING' })) === 0 ? true : undefined),
      {
        everyMs: 20,
        limitMs: 600_000,
      },
    );
    const queued = (performance.now() - startedAt) / 1_000;
    const cpuBefore = process.cpuUsage();
    const drained = await timed(() => untilEnded(sluice, runId));
    const cpu = process.cpuUsage(cpuBefore);
    await sluice.stop();
    const memory = Math.round(process.memoryUsage().rss / 1_048_576);
    rows.push([
      tasks.toLocaleString('en'),
      accepted.toFixed(2),
      queued.toFixed(2),
      ((drained * 1_000) / tasks).toFixed(2),
      ((cpu.user + cpu.system) / 1_000 / tasks).toFixed(2),
      memory,
    ]);
  }
  return tableOf(
    [
      'tasks in one run',
      'accepted after s',
      'all QUEUED after s',
      'drain, ms a task',
      'CPU of the process, ms a task',
      'memory of the process, MB',
    ],
    rows,
  );
}
