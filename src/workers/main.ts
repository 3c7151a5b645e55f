import { parseArgs } from 'node:util';
import { loadSettings } from '../config.ts';
import { SluiceError } from '../contract/errors.ts';
import { runDaemon } from '../daemon.ts';
import { createDeps, foundation } from '../deps.ts';
import { createLog } from '../lib/log.ts';
import { ALIVE_EVERY_MS, type FromWorker, PASSING_EXIT, type ToWorker } from './supervisor.ts';
import { createWorkerRole, type WorkerEnd } from './worker-role.ts';

/**
 * A worker process, started by the supervisor with everything in its arguments and environment. Drains and ends when the
 * supervisor is gone.
 */
const { values } = parseArgs({
  options: {
    pools: { type: 'string', default: 'default' },
    'task-slots': { type: 'string', default: '2' },
    'gate-slots': { type: 'string', default: '1' },
    'drain-ms': { type: 'string', default: '30000' },
    replaces: { type: 'string' },
    'replaces-crashed': { type: 'boolean', default: false },
    config: { type: 'string' },
    'data-dir': { type: 'string' },
    'allow-all': { type: 'boolean', default: false },
  },
});

const environment = { ...process.env, ...(await secretsOfSupervisor()) };
const settings = await loadSettings(environment, {
  config: values.config,
  dataDir: values['data-dir'],
  allowAll: values['allow-all'],
});
const log = createLog({ level: settings.logLevel, terminal: process.stderr.isTTY });
try {
  if (settings.databaseUrl === undefined)
    throw new SluiceError('config.invalid', 'a worker process needs DATABASE_URL');
  const deps = createDeps(settings, log, settings.databaseUrl);
  const { workerId, components, ended } = createWorkerRole(deps, {
    pools: values.pools.split(','),
    taskSlots: Number(values['task-slots']),
    gateSlots: Number(values['gate-slots']),
    drainMs: Number(values['drain-ms']),
    ...(values.replaces === undefined
      ? {}
      : { replaces: { workerId: values.replaces, crashed: values['replaces-crashed'] } }),
  });
  // The supervisor asks over the channel, not by a signal: a terminal's Ctrl-C reaches us too, and two mean "now".
  const dismissed = new Promise<'dismissed'>((resolve) => {
    process.once('disconnect', () => resolve('dismissed'));
    process.on('message', (message: ToWorker) => {
      if (message.kind === 'stop') resolve('dismissed');
    });
    // It may have gone while we began: that is not told twice.
    if (process.send !== undefined && !process.connected) resolve('dismissed');
  });
  const byItself: Promise<WorkerEnd | 'dismissed'> = Promise.race([ended, dismissed]);
  await runDaemon([...foundation(deps, { migrate: false }), ...components], {
    log,
    ready: () => {
      sayAlive();
      log.info({ workerId, pid: process.pid }, 'worker.ready');
      process.send?.({ kind: 'ready', workerId } satisfies FromWorker);
    },
    ended: byItself.then(() => {}),
  });
  const how = await Promise.race([byItself, Promise.resolve('signalled' as const)]);
  if (how === 'drained') await tellSupervisor({ kind: 'drained' });
  // What must not go on ends badly, so that somebody puts another in its place.
  process.exit(how === 'lease_lost' || how === 'not_consuming' || how === 'machine_fault' ? 1 : 0);
} catch (error) {
  log.fatal({ err: error }, 'worker.failed');
  process.exit(error instanceof SluiceError && error.httpStatus === 503 ? PASSING_EXIT : 1);
}

/**
 * What stands in an environment can be read by any process of the same user: secrets come over the channel. Empty for a process
 * that nobody supervises, or whose supervisor is gone.
 */
function secretsOfSupervisor(): Promise<Readonly<Record<string, string>>> {
  if (process.send === undefined || !process.connected) return Promise.resolve({});
  return new Promise((resolve) => {
    const hear = (message: ToWorker): void => {
      if (message.kind === 'secrets') resolve(message.values);
      else process.exit(0);
      process.off('message', hear);
    };
    process.on('message', hear);
    process.once('disconnect', () => resolve({}));
  });
}

/** A main thread that stands still says nothing: the supervisor ends it. */
function sayAlive(): void {
  setInterval(() => {
    if (process.connected) process.send?.({ kind: 'alive' } satisfies FromWorker, () => {});
  }, ALIVE_EVERY_MS).unref();
}

/** Resolves when it is on its way: a process that ends at once takes its words with it. */
function tellSupervisor(message: FromWorker): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, () => resolve());
  });
}
