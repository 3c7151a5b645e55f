import { planLanding } from '../src/domain/landing/planner.ts';
import { poll, sleep } from '../src/lib/clock.ts';
import { startBenchSluice } from './bench-sluice.ts';
import { median, tableOf } from './measure.ts';
import type { BenchServers } from './servers.ts';

const STAGED = 1_000;
const SPAN_MS = 15_000;

/** Rounds of the coordinator over a long queue whose gates wait for a slot, so that nothing changes. */
export async function measureLongQueue(servers: BenchServers): Promise<string> {
  const place = await servers.ledgerAt();
  const planMs: number[] = [];
  let watching = false;
  const sluice = await startBenchSluice({
    ...place,
    taskSlots: 4,
    gateSlots: 4,
    plan: (snapshot) => {
      const startedAt = performance.now();
      const plan = planLanding(snapshot);
      if (watching) planMs.push(performance.now() - startedAt);
      return plan;
    },
  });
  await sluice.holdGates(true);
  for (let n = 0; n < STAGED; n += 1) {
    const files = [{ path: `landed/${n}.txt`, content: `${n}\n` }];
    await sluice.client.patches.submit({ repository: place.repository, input: { format: 'inline', files } });
  }
  await poll(async () => ((await sluice.daos.patches.count({ state: 'STAGED' })) === STAGED ? true : undefined), {
    everyMs: 200,
    limitMs: 600_000,
  });
  await sleep(5_000);
  watching = true;
  const before = process.cpuUsage();
  await sleep(SPAN_MS);
  const cpu = process.cpuUsage(before);
  watching = false;
  await sluice.stop();
  return tableOf(
    ['coordinator, 1,000 patches staged, nothing changes', 'ms'],
    [
      ['a plan, median', median(planMs).toFixed(1)],
      [
        'CPU of the process with all its roles, a round',
        ((cpu.user + cpu.system) / 1_000 / Math.max(1, planMs.length)).toFixed(1),
      ],
    ],
  );
}
