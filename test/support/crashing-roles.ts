import { loadSettings } from '../../src/config.ts';
import { configSchema } from '../../src/contract/config-schema.ts';
import { createDeps, foundation } from '../../src/deps.ts';
import { startAll } from '../../src/lib/component.ts';
import { silentLog } from '../../src/lib/log.ts';
import { createSchedulerRole } from '../../src/scheduler/scheduler-role.ts';
import { createWorkerRole } from '../../src/workers/worker-role.ts';

/**
 * Runs a scheduler and a worker in a process that sends itself SIGKILL at a named point, so that nothing is cleaned up.
 */
const [databaseUrl, dataDir, point] = process.argv.slice(2) as [string, string, string];
const settings = await loadSettings({ PATH: process.env.PATH }, { dataDir, port: 0 }, dataDir);
const file = configSchema.parse({
  allow_any_repository: true,
  allow_commands: true,
  sandbox: { mode: 'none', run_as: 'daemon' },
});
const deps = createDeps({ ...settings, file }, silentLog(), databaseUrl);
deps.crashPoint = async (name) => {
  if (name === point) process.kill(process.pid, 'SIGKILL');
};
const worker = createWorkerRole(deps, { pools: ['default'], taskSlots: 2, gateSlots: 2, drainMs: 1_000 });
await startAll([...foundation(deps, { migrate: false }), ...createSchedulerRole(deps), ...worker.components]);
console.log('ready');
