import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withAdmin } from '../../harness/admin-connection.ts';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { redisIsHere, startRedis, type TestRedis } from '../../harness/redis.ts';
import { EmbeddedPostgres } from '../../src/database/embedded-postgres.ts';
import { silentLog } from '../../src/lib/log.ts';
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
const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
const postgres = new EmbeddedPostgres({
  dataDir: folder,
  log: silentLog(),
  searchPath: process.env.PATH ?? '',
  onLoopback: true,
});
await postgres.start();
const redis: TestRedis | undefined = (await redisIsHere()) ? await startRedis() : undefined;
let databases = 0;
try {
  console.log(`${PATCHES} patches, ${BAD.length} of them bad, ${FILES} files, gates of one second\n`);
  console.log('| policy | W | seconds | landed | gate runs | overhead a patch |');
  console.log('|---|---:|---:|---:|---:|---:|');
  for (const policy of POLICIES) {
    const load = { policy, patches: PATCHES, bad: BAD, gateSeconds: 1, files: FILES };
    const { seconds, landed, gateRuns, overheadMs } = await measureDrain(await place(), load);
    const cells = [policy.name, policy.slots, seconds.toFixed(1), landed, gateRuns, `${overheadMs.toFixed(0)} ms`];
    console.log(`| ${cells.join(' | ')} |`);
  }
  const policy = { name: 'every commit', prove: 'every_commit', slots: 4 } as const;
  const queued = await measureDrain(await place(), { policy, patches: QUEUED, bad: [], gateSeconds: 1, files: FILES });
  console.log(
    `\n${QUEUED} queued patches, W = 4, gates of one second: ${queued.overheadMs.toFixed(0)} ms a landed patch beyond gate time`,
  );
  const git = await GitSandbox.create(
    Object.fromEntries(Array.from({ length: FILES }, (_, i) => [`src/${i % 50}/${i}.txt`, `${i}\n`])),
  );
  const alone = await measureLandingOverhead({ ...(await place()), repository: git.remote }, ONE_BY_ONE);
  await git.remove();
  console.log(
    `One patch at a time, from staged to on the branch, minus its gate: median ${alone.medianMs.toFixed(0)} ms, worst ${alone.worstMs.toFixed(0)} ms`,
  );
} finally {
  await redis?.stop();
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
}

async function place() {
  databases += 1;
  const name = `landing_${databases}`;
  await withAdmin(postgres.url, (client) => client.query(`create database ${name}`));
  const databaseUrl = postgres.url.replace(/\/sluice$/, `/${name}`);
  return { databaseUrl, redisUrl: redis?.url, folder: join(folder, name) };
}
