import { expect, test } from 'vitest';
import { silentLog } from '../../src/lib/log.ts';
import { WorkerSupervisor } from '../../src/workers/supervisor.ts';
import { atTheEnd } from '../support/clean-up.ts';
import { cloneTemplate } from '../support/database.ts';
import { makeDataDir } from '../support/sluice-process.ts';

async function supervisorOf(config?: string): Promise<WorkerSupervisor> {
  const supervisor = new WorkerSupervisor({
    processes: 1,
    pools: ['default'],
    taskSlots: 1,
    gateSlots: 1,
    drainMs: 1_000,
    dataDir: await makeDataDir(),
    config,
    allowAll: true,
    environment: { PATH: process.env.PATH, LOG_LEVEL: 'silent' },
    secrets: { DATABASE_URL: await cloneTemplate() },
    log: silentLog(),
  });
  atTheEnd(() => supervisor.stop());
  return supervisor;
}

test('the supervisor replaces a worker that was killed before it was ready for the first time', async () => {
  const supervisor = await supervisorOf();
  const begun = supervisor.start();
  const [first] = supervisor.pids;
  process.kill(first!, 'SIGKILL');
  await begun;
  expect(supervisor.pids).toHaveLength(1);
  expect(supervisor.pids).not.toContain(first);
});

test('the start of the supervisor fails with the exit status of a worker that cannot start', async () => {
  const supervisor = await supervisorOf('/nowhere/sluice.config.yaml');
  await expect(supervisor.start()).rejects.toThrow(/ended before it was ready: exit 1/);
});
