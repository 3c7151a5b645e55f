import { parseArgs } from 'node:util';
import { loadSettings } from '../config.ts';
import { SluiceError } from '../contract/errors.ts';
import { runDaemon } from '../daemon.ts';
import { createDeps, foundation } from '../deps.ts';
import { createLog } from '../lib/log.ts';
import { measurements, processRegistry } from '../lib/meters.ts';
import { ALIVE_EVERY_MS, type FromWorker, PASSING_EXIT, type ToWorker } from './supervisor.ts';
import { createWorkerRole, type WorkerEnd } from './worker-role.ts';

/**
 * Entry point of a worker process. The supervisor passes settings in arguments and environment, and secrets over the
 * channel. Drains and ends when the supervisor is gone.
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
    index: { type: 'string', default: '0' },
    'allow-all': { type: 'boolean', default: false },
  },
});

// The supervisor gathers the metrics of its workers. Without a label, a sum over those that answer would go down when one
// does not, which reads as a restart.
processRegistry.setDefaultLabels({ worker: values.index });
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
  // The supervisor asks over the channel, not by a signal: Ctrl-C in a terminal reaches this process too, and a second
  // signal ends it at once.
  const dismissed = new Promise<'dismissed'>((resolve) => {
    process.once('disconnect', () => resolve('dismissed'));
    process.on('message', (message: ToWorker) => {
      if (message.kind === 'stop') resolve('dismissed');
      if (message.kind === 'measure') void answerMeasure();
    });
    // The supervisor may be gone already: `disconnect` is not emitted again.
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
  // A worker that failed exits with 1, so that its supervisor replaces it.
  process.exit(how === 'lease_lost' || how === 'not_consuming' || how === 'machine_fault' ? 1 : 0);
} catch (error) {
  log.fatal({ err: error }, 'worker.failed');
  process.exit(error instanceof SluiceError && error.httpStatus === 503 ? PASSING_EXIT : 1);
}

/**
 * Receives secrets over the channel, because any process of the same user can read an environment. Empty for a process
 * without a supervisor.
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

async function answerMeasure(): Promise<void> {
  const answer: FromWorker = { kind: 'measured', measurements: await measurements() };
  if (process.connected) process.send?.(answer, () => {});
}

/** Reports that the main thread is responsive: the supervisor kills a worker that stops reporting. */
function sayAlive(): void {
  setInterval(() => {
    if (process.connected) process.send?.({ kind: 'alive' } satisfies FromWorker, () => {});
  }, ALIVE_EVERY_MS).unref();
}

/** Resolves when the message has been sent, because a process that exits at once would lose it. */
function tellSupervisor(message: FromWorker): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, () => resolve());
  });
}
