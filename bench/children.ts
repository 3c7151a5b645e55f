import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { startBenchSluice } from './bench-sluice.ts';
import { tableOf, timed } from './measure.ts';
import type { BenchServers } from './servers.ts';
import { noOpRun, untilEnded } from './whole-ledger.ts';

const TASKS = 400;
const SLOTS = 8;

/** `true` as the tool of each task, with its slot, check-out and sandbox, beside a loop that only starts `true`. */
export async function measureChildren(servers: BenchServers): Promise<string> {
  const bare = await timed(async () => {
    let left = TASKS;
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await once(spawn('true', { stdio: 'ignore' }), 'exit');
      }
    };
    await Promise.all(Array.from({ length: SLOTS }, lane));
  });
  const place = await servers.ledgerAt();
  const sluice = await startBenchSluice({ ...place, taskSlots: SLOTS, gateSlots: 1 });
  // Warms the mirror and the slots.
  await untilEnded(sluice, (await sluice.client.runs.submit(noOpRun(place.repository, SLOTS))).id);
  const seconds = await timed(async () => {
    await untilEnded(sluice, (await sluice.client.runs.submit(noOpRun(place.repository, TASKS))).id);
  });
  await sluice.stop();
  return tableOf(
    [`\`true\`, ${SLOTS} at a time`, 'a second'],
    [
      ['a loop that starts it', (TASKS / bare).toFixed(0)],
      ['tasks of Sluice, each in a fresh check-out and a sandbox', (TASKS / seconds).toFixed(0)],
    ],
  );
}
