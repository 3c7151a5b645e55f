import { GitSandbox } from '../../harness/git-sandbox.ts';
import { startServers } from '../servers.ts';
import { type DrainPolicy, measureDrain } from './drain.ts';
import { measureLandingOverhead } from './one-by-one.ts';
import { zuulPlanner } from './zuul-planner.ts';

const FILES = 1_000;
const PATCHES = 30;
const BAD = [7, 19];
const QUEUED = 200;
const ONE_BY_ONE = 25;

const POLICIES: readonly DrainPolicy[] = [
  { name: 'Sluice, every commit (one by one)', prove: 'every_commit', slots: 1 },
  { name: "Zuul's window", prove: 'every_commit', slots: 1, plan: zuulPlanner() },
  { name: 'Sluice, batch (batch and bisect)', prove: 'batch', slots: 1 },
  { name: 'Sluice, every commit', prove: 'every_commit', slots: 4 },
  { name: "Zuul's window", prove: 'every_commit', slots: 4, plan: zuulPlanner() },
  { name: 'Sluice, batch', prove: 'batch', slots: 4 },
];

/** Git, gates, PostgreSQL and the queue are real. All roles share one process and this machine's cores. */
const servers = await startServers();
try {
  console.log(`${PATCHES} patches, ${BAD.length} of them bad, ${FILES} files, gates of one second\n`);
  console.log('| policy | W | seconds | landed | gate runs | overhead a patch |');
  console.log('|---|---:|---:|---:|---:|---:|');
  for (const policy of POLICIES) {
    const load = { policy, patches: PATCHES, bad: BAD, gateSeconds: 1, files: FILES };
    const { seconds, landed, gateRuns, overheadMs } = await measureDrain(await servers.ledgerAt(), load);
    const cells = [policy.name, policy.slots, seconds.toFixed(1), landed, gateRuns, `${overheadMs.toFixed(0)} ms`];
    console.log(`| ${cells.join(' | ')} |`);
  }
  const policy = { name: 'every commit', prove: 'every_commit', slots: 4 } as const;
  const queued = await measureDrain(await servers.ledgerAt(), {
    policy,
    patches: QUEUED,
    bad: [],
    gateSeconds: 1,
    files: FILES,
  });
  console.log(
    `\n${QUEUED} queued patches, W = 4, gates of one second: ${queued.overheadMs.toFixed(0)} ms a landed patch beyond gate time`,
  );
  const git = await GitSandbox.create(
    Object.fromEntries(Array.from({ length: FILES }, (_, i) => [`src/${i % 50}/${i}.txt`, `${i}\n`])),
  );
  const alone = await measureLandingOverhead({ ...(await servers.ledgerAt()), repository: git.remote }, ONE_BY_ONE);
  await git.remove();
  console.log(
    `One patch at a time, from staged to on the branch, minus its gate: median ${alone.medianMs.toFixed(0)} ms, worst ${alone.worstMs.toFixed(0)} ms`,
  );
} finally {
  await servers.stop();
}
