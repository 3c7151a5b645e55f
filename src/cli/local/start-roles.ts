import { ApiRole } from '../../api/api-role.ts';
import { confinementOf } from '../../children/confinement.ts';
import { loadSettings, type Settings, secretNames, verdictKeyFile } from '../../config.ts';
import { CONFINEMENT_DANGERS } from '../../contract/states.ts';
import { localTokenFile } from '../../contract/tokens.ts';
import { runDaemon } from '../../daemon.ts';
import { createDeps, type Deps, embeddedServer, foundation } from '../../deps.ts';
import { type Component, startAll } from '../../lib/component.ts';
import { createLog, type Log } from '../../lib/log.ts';
import { makePrivate } from '../../lib/private-folder.ts';
import { secretFile } from '../../lib/secret-file.ts';
import { createSchedulerRole } from '../../scheduler/scheduler-role.ts';
import { WorkerSupervisor } from '../../workers/supervisor.ts';
import type { CliContext } from '../context.ts';
import { monitorOf, watchedRole, watchedWorkers } from './monitor.ts';

export interface RoleOptions {
  config?: string;
  dataDir?: string;
  host?: string;
  port?: number;
}

export interface FleetOptions extends RoleOptions {
  workers: number;
  pools: string;
  concurrency: number;
  gateSlots: number;
  drainSeconds: number;
}

export async function up(context: CliContext, options: FleetOptions): Promise<void> {
  const given = await loadSettings(context.environment, { ...options, allowAll: true });
  await makeDataFolder(given);
  const settings = given.databaseUrl === undefined ? await withVerdictKey(given) : given;
  const log = logOf(context, settings);
  await withDatabase(settings, log, async (databaseUrl) => {
    const deps = createDeps(settings, log, databaseUrl);
    const api = new ApiRole(deps, context.version);
    const supervisor = supervisorOf({ settings, options, databaseUrl, log, allowAll: true });
    const confinement = confinementOf(settings, log);
    const monitor = monitorOf(settings, log, watchedWorkers(supervisor));
    const components = [
      ...optional(monitor),
      confinement,
      ...foundation(deps, { migrate: true }),
      api,
      ...createSchedulerRole(deps),
      supervisor,
    ];
    await runDaemon(components, {
      log,
      ready: () => {
        monitor?.roleHasStarted();
        context.stderr.write(`Sluice is up: ${api.url} (board: ${api.url}/board)\n`);
        context.stderr.write(`Its token is in ${localTokenFile(settings.dataDir)}\n`);
        const { kind, problem } = confinement.state;
        const words = [problem, CONFINEMENT_DANGERS[kind]].filter((each) => each !== null).join('; ');
        if (kind !== 'bubblewrap') context.stderr.write(`TOOLS AND GATES ARE NOT CONFINED: ${words}\n`);
        process.send?.({ kind: 'ready', url: api.url, databaseUrl, workers: supervisor.pids });
      },
    });
  });
}

/**
 * Creates the data folder. Other users must not read mirrors, slots and the helpers of git, which hold private code.
 */
function makeDataFolder({ dataDir }: Settings): Promise<void> {
  return makePrivate(dataDir, ['mirrors', 'slots', 'git']);
}

/**
 * Creates a verdict key in the data folder. Safe only with the embedded database, because processes that share a
 * database must share the key.
 */
async function withVerdictKey(settings: Settings): Promise<Settings> {
  return { ...settings, verdictKey: settings.verdictKey ?? (await secretFile(verdictKeyFile(settings.dataDir))) };
}

export function runApi(context: CliContext, options: RoleOptions): Promise<void> {
  return runRole(context, options, (deps) => [new ApiRole(deps, context.version)]);
}

export function runScheduler(context: CliContext, options: RoleOptions): Promise<void> {
  return runRole(context, options, createSchedulerRole);
}

async function runRole(context: CliContext, options: RoleOptions, role: (deps: Deps) => Component[]): Promise<void> {
  const settings = await loadSettings(context.environment, options);
  await makeDataFolder(settings);
  const log = logOf(context, settings);
  await withDatabase(settings, log, async (databaseUrl) => {
    const deps = createDeps(settings, log, databaseUrl);
    const monitor = monitorOf(settings, log, watchedRole(deps));
    await runDaemon([...optional(monitor), ...foundation(deps, { migrate: false }), ...role(deps)], {
      log,
      ready: () => monitor?.roleHasStarted(),
    });
  });
}

export async function runWorkers(context: CliContext, options: FleetOptions): Promise<void> {
  const settings = await loadSettings(context.environment, options);
  await makeDataFolder(settings);
  const log = logOf(context, settings);
  await withDatabase(settings, log, async (databaseUrl) => {
    const supervisor = supervisorOf({ settings, options, databaseUrl, log, allowAll: false });
    let drained: () => void = () => {};
    const ended = new Promise<void>((resolve) => {
      drained = resolve;
    });
    const monitor = monitorOf(settings, log, watchedWorkers(supervisor));
    await runDaemon([...optional(monitor), confinementOf(settings, log), supervisor], {
      log,
      ended,
      ready: () => {
        monitor?.roleHasStarted();
        void supervisor.drained().then(drained);
      },
    });
  });
}

function optional(component: Component | undefined): Component[] {
  return component === undefined ? [] : [component];
}

/** Runs `work` with the configured database, or with an embedded server that is stopped afterwards. */
export async function withDatabase(
  settings: Settings,
  log: Log,
  work: (databaseUrl: string) => Promise<void>,
): Promise<void> {
  if (settings.databaseUrl !== undefined) return work(settings.databaseUrl);
  const embedded = embeddedServer(settings, log);
  const stop = await startAll([embedded]);
  try {
    await work(embedded.url);
  } finally {
    await stop();
  }
}

export function logOf(context: CliContext, { logLevel }: Settings): Log {
  return createLog({ level: logLevel, terminal: context.stderr.isTTY });
}

/** Separates secrets from the other variables, because the environment of a process is readable in /proc. */
function apart(all: Readonly<Record<string, string | undefined>>, names: readonly string[]) {
  const secrets: Record<string, string> = {};
  const environment: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(all)) {
    if (value !== undefined && names.includes(name)) secrets[name] = value;
    else environment[name] = value;
  }
  return { environment, secrets };
}

function supervisorOf(parts: {
  settings: Settings;
  options: FleetOptions;
  databaseUrl: string;
  log: Log;
  allowAll: boolean;
}): WorkerSupervisor {
  const { settings, options, databaseUrl, log, allowAll } = parts;
  return new WorkerSupervisor({
    processes: options.workers,
    pools: options.pools.split(','),
    taskSlots: options.concurrency,
    gateSlots: options.gateSlots,
    drainMs: options.drainSeconds * 1_000,
    dataDir: settings.dataDir,
    config: options.config,
    allowAll,
    ...apart({ ...settings.environment, DATABASE_URL: databaseUrl }, secretNames(settings.file)),
    log,
  });
}
