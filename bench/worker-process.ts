import { loadSettings } from '../src/config.ts';
import { createDeps, foundation } from '../src/deps.ts';
import { startAll } from '../src/lib/component.ts';
import { createLog } from '../src/lib/log.ts';
import { createWorkerRole } from '../src/workers/worker-role.ts';
import { noOp } from './whole-ledger.ts';

/** A worker of the bench in a process of its own: `node worker-process.ts FOLDER SLOTS`. Its tasks do nothing. */
const [folder = '', slots = ''] = process.argv.slice(2);
const { PATH, DATABASE_URL, REDIS_URL } = process.env;
const settings = await loadSettings({ PATH, REDIS_URL }, { dataDir: folder, port: 0, allowAll: true }, folder);
const deps = createDeps(settings, createLog({ level: 'error', terminal: false }), DATABASE_URL!, 10);
const worker = createWorkerRole(deps, {
  pools: ['default'],
  taskSlots: Number(slots),
  gateSlots: 1,
  drainMs: 1_000,
  execute: noOp(() => {}),
});
const stop = await startAll([...foundation(deps, { migrate: false }), ...worker.components]);
process.once('message', () => void stop().then(() => process.exit(0)));
process.send!('ready');
