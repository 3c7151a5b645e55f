import { poll } from '../../src/lib/clock.ts';
import { startBenchSluice } from '../bench-sluice.ts';
import { percentile } from '../measure.ts';

export interface Overhead {
  patches: number;
  medianMs: number;
  worstMs: number;
}

/**
 * Measures what the daemon adds to one landed patch: the time from STAGED to APPLIED minus the gate's own time. Patches
 * are submitted one at a time, so that none waits for another.
 */
export async function measureLandingOverhead(
  place: { databaseUrl: string; redisUrl: string | undefined; repository: string; folder: string },
  patches: number,
): Promise<Overhead> {
  const sluice = await startBenchSluice({ ...place, taskSlots: 2, gateSlots: 2 });
  const overheads: number[] = [];
  for (let n = 0; n < patches; n += 1) {
    const files = [{ path: `landed/${n}.txt`, content: `${n}\n` }];
    const { run } = await sluice.client.patches.submit({
      repository: place.repository,
      input: { format: 'inline', files },
    });
    const done = await poll(
      async () => ((await sluice.client.runs.get(run.id)).state === 'COMPLETED' ? true : undefined),
      { everyMs: 20, limitMs: 60_000 },
    );
    if (done === undefined) throw new Error(`patch ${n} did not land`);
    const { patches: [patch] = [], gates = [] } = await sluice.client.runs.get(run.id, {
      expand: ['patches', 'gates'],
    });
    const gateMs = gates.reduce((sum, gate) => sum + Number(gate.test_results?.duration_ms ?? 0), 0);
    overheads.push(Date.parse(patch!.applied_at!) - Date.parse(patch!.staged_at!) - gateMs);
  }
  await sluice.stop();
  return { patches, medianMs: percentile(overheads, 0.5), worstMs: Math.max(...overheads) };
}
