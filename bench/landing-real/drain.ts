import { GitSandbox } from '../../harness/git-sandbox.ts';
import type { Deps } from '../../src/deps.ts';
import { poll } from '../../src/lib/clock.ts';
import { startBenchSluice } from '../bench-sluice.ts';

export interface DrainPolicy {
  name: string;
  prove: 'every_commit' | 'batch';
  slots: number;
  plan?: Deps['planLanding'];
}

export interface Drain {
  name: string;
  patches: number;
  landed: number;
  seconds: number;
  gateRuns: number;
  /** Drain time that gates do not account for (their time divided by the slots), per submitted patch. */
  overheadMs: number;
}

/**
 * Queues patches on a paused target, resumes it, and measures the time until every patch has landed or was blocked. Git
 * and the gate are real.
 */
export async function measureDrain(
  place: { databaseUrl: string; redisUrl: string | undefined; folder: string },
  load: { policy: DrainPolicy; patches: number; bad: readonly number[]; gateSeconds: number; files: number },
): Promise<Drain> {
  const { policy, patches, bad, gateSeconds } = load;
  const gate = `sleep ${gateSeconds}; ! ls landed | grep -q bad`;
  const git = await GitSandbox.create(
    Object.fromEntries(Array.from({ length: load.files }, (_, i) => [`src/${i % 50}/${i}.txt`, `${i}\n`])),
    {
      gates: [{ name: 'gate', command: ['sh', '-c', gate] }],
      landing: { prove: policy.prove, slots: policy.slots, max_batch: 20 },
    },
  );
  await git.push({ 'landed/.keep': '' });
  const sluice = await startBenchSluice({ ...place, taskSlots: 4, gateSlots: policy.slots, plan: policy.plan });
  const { daos } = sluice;
  const targetId = `${git.remote}@main`;
  await daos.targets.create({ target_id: targetId, repository: git.remote, branch: 'main', url: git.remote });
  await sluice.client.targets.pause(targetId, { reason: 'until all wait' });
  // No gate slots until the clock starts, because a paused target still tests its queue.
  await sluice.holdGates(true);
  for (let n = 0; n < patches; n += 1) {
    const path = `landed/${bad.includes(n) ? 'bad' : 'good'}-${n}`;
    await sluice.client.patches.submit({
      repository: git.remote,
      input: { format: 'inline', files: [{ path, content: 'x\n' }] },
    });
  }
  const waiting = (states: string[]) => daos.patches.count({ state: { $in: states as never } });
  await until(async () => (await waiting(['STAGED'])) === patches);
  await sluice.client.targets.resume(targetId, { reason: 'go' });
  const startedAt = performance.now();
  await sluice.holdGates(false);
  await until(async () => (await waiting(['VERIFIED', 'BLOCKED'])) === patches);
  const seconds = (performance.now() - startedAt) / 1_000;
  const landed = await waiting(['VERIFIED']);
  const runs = await daos.gates.findBy({ target_id: targetId });
  const gateRuns = runs.filter(({ started_at }) => started_at !== null).length;
  const gateMs = runs.reduce((sum, { test_results }) => sum + Number(test_results?.duration_ms ?? 0), 0);
  await sluice.stop();
  await git.remove();
  const overheadMs = Math.max(0, seconds * 1_000 - gateMs / policy.slots) / patches;
  return { name: policy.name, patches, landed, seconds, gateRuns, overheadMs };
}

async function until(reached: () => Promise<boolean>): Promise<void> {
  const done = await poll(async () => ((await reached()) ? true : undefined), { everyMs: 20, limitMs: 300_000 });
  if (done === undefined) throw new Error('the queue does not drain');
}
