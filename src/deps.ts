import { join } from 'node:path';
import type { Settings } from './config.ts';
import { hasCode, SluiceError } from './contract/errors.ts';
import { createDaos, type Daos } from './dao/all.ts';
import { Database } from './database/database.ts';
import { EmbeddedPostgres } from './database/embedded-postgres.ts';
import { assertSchemaCurrent, migrateUp } from './database/migrator.ts';
import { WakeUpListener, WakeUpSender } from './database/wake-ups.ts';
import { planLanding } from './domain/landing/planner.ts';
import { NamedRepositories } from './domain/repository-book.ts';
import { VerdictSeal } from './domain/verdict-seal.ts';
import type { WakeUp } from './domain/wake-up.ts';
import { Mirrors } from './git/mirrors.ts';
import { OPEN_ACCESS, type RemoteAccess, remoteAccess } from './git/remote-access.ts';
import { Git } from './git/run-git.ts';
import { makeToolsKnown } from './ledger/attempts/breakers.ts';
import { Ledger } from './ledger/ledger.ts';
import { agreeOnVerdictKey } from './ledger/verdict-key.ts';
import { sleep, unlessAborted } from './lib/clock.ts';
import type { Component } from './lib/component.ts';
import type { Log } from './lib/log.ts';
import { spawner } from './lib/spawner.ts';
import { type CrashPoint, noCrashPoint } from './pipeline/support/ports.ts';
import { QueuePublisher } from './queues/publisher.ts';
import { createQueueBackend, type QueueBackend } from './queues/queue-backend.ts';
import { ToolRegistry } from './tools/registry.ts';

/** Components that the roles share. */
export interface Deps {
  settings: Settings;
  log: Log;
  database: Database;
  daos: Daos;
  ledger: Ledger;
  wakeUps: WakeUpSender;
  queueBackend: QueueBackend;
  publisher: QueuePublisher;
  tools: ToolRegistry;
  repositories: NamedRepositories;
  seal: VerdictSeal;
  /** Decides the next steps on a target. The bench replaces it to compare planners. */
  planLanding: typeof planLanding;
  crashPoint: CrashPoint;
  /** Each role of a machine has its own mirrors root, so that no child's slot borrows from the coordinator's. */
  mirrorsOf: (role: 'scheduler' | 'worker' | 'api') => Mirrors;
}

const CONNECT_LIMIT_MS = 30_000;
const CONNECT_EVERY_MS = 1_000;

/** Creates the components and connects them to each other; opens no connection yet. */
export function createDeps(settings: Settings, log: Log, databaseUrl: string, poolSize = 10): Deps {
  const database = new Database({ url: databaseUrl, poolSize });
  const wakeUps = new WakeUpSender(database, log);
  const queueBackend = createQueueBackend({ redisUrl: settings.redisUrl, databaseUrl });
  const searchPath = settings.environment.PATH ?? '/usr/local/bin:/usr/bin:/bin';
  const repositories = new NamedRepositories({
    known: settings.file.repositories,
    allowAny: settings.file.allow_any_repository,
    folder: settings.folder,
    sandbox: settings.file.sandbox,
  });
  const git = new Git({ home: join(settings.dataDir, 'git'), searchPath });
  const helpers = join(settings.dataDir, 'git', 'helpers');
  const accessTo = (url: string): RemoteAccess => {
    const credentials = repositories.credentialsAt(url);
    if (credentials === undefined) return OPEN_ACCESS;
    return remoteAccess(credentials, { url, helpers, daemon: settings.environment });
  };
  return {
    settings,
    log,
    database,
    daos: createDaos(database),
    ledger: new Ledger(database, wakeUps.send),
    wakeUps,
    queueBackend,
    publisher: new QueuePublisher(queueBackend),
    tools: new ToolRegistry(settings.file.tools),
    repositories,
    seal: new VerdictSeal(settings.verdictKey),
    planLanding,
    crashPoint: noCrashPoint,
    mirrorsOf: (role) => new Mirrors({ git, root: join(settings.dataDir, 'mirrors', role), accessTo }),
  };
}

/** Returns the components that must start before a role, in order. */
export function foundation(deps: Deps, { migrate }: { migrate: boolean }): Component[] {
  return [spawner, databaseReady(deps, migrate), deps.wakeUps, toolsKnown(deps), queuesReady(deps), deps.publisher];
}

/** Server for settings without a database; its `url` is known only after its start. */
export function embeddedServer(settings: Settings, log: Log): EmbeddedPostgres {
  const searchPath = settings.environment.PATH ?? '/usr/local/bin:/usr/bin:/bin';
  return new EmbeddedPostgres({ dataDir: settings.dataDir, log, searchPath });
}

export function wakeUpListener(deps: Deps, onWakeUp: (wakeUp: WakeUp) => void): WakeUpListener {
  return new WakeUpListener({ url: deps.database.url, log: deps.log, onWakeUp });
}

/**
 * Waits up to 30 s for a database that is starting, with one log line per attempt, then throws `database.unreachable`.
 */
function databaseReady({ database, log }: Deps, migrate: boolean): Component {
  return {
    name: 'database',
    async start(signal) {
      const connect = async () => {
        await database.start();
        await database.ping();
      };
      await untilDatabaseAnswers(log, connect, signal);
      if (migrate) {
        const applied = await migrateUp(database);
        if (applied.length > 0) log.info({ migrations: applied.length }, 'database.migrated');
      }
      // Another process may be migrating at this moment.
      await untilDatabaseAnswers(log, () => assertSchemaCurrent(database), signal);
    },
    stop: () => database.stop(),
  };
}

/**
 * Retries `attempt` each second for up to 30 s while the database is unreachable or being migrated, so that a short
 * outage does not end a role that is starting. Throws at once when `signal` aborts.
 */
export async function untilDatabaseAnswers(
  log: Log,
  attempt: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const endsAt = performance.now() + CONNECT_LIMIT_MS;
  while (true) {
    try {
      await unlessAborted(attempt(), signal);
      return;
    } catch (error) {
      const passes = hasCode(error, 'database.unreachable') || hasCode(error, 'database.behind');
      if (!passes || !error.retryable || performance.now() >= endsAt) throw error;
      const { code, cause, message } = error;
      log.warn({ code, cause: String((cause as Error | undefined)?.message ?? message) }, `${code}: trying again`);
      await sleep(CONNECT_EVERY_MS, signal);
      signal?.throwIfAborted();
    }
  }
}

/**
 * Gives each configured tool a breaker, because a process may run a tool or take its tasks before any scheduler has
 * declared it. Only schedulers change its limits.
 */
function toolsKnown({ ledger, tools, log }: Deps): Component {
  return {
    name: 'tools',
    start: (signal) =>
      untilDatabaseAnswers(log, () => ledger.write((tx) => makeToolsKnown(tx, tools.declared())), signal),
    stop: async () => {},
  };
}

/** Throws if the fleet uses another verdict key. For roles that write verdicts or land by them. */
export function verdictKeyAgreed({ ledger, seal, log }: Deps): Component {
  return {
    name: 'verdict-key',
    start: (signal) =>
      untilDatabaseAnswers(log, () => ledger.write((tx) => agreeOnVerdictKey(tx, seal.fingerprint)), signal),
    stop: async () => {},
  };
}

/**
 * Prepares the queue. An unreachable queue is only logged, because work waits in the database meanwhile; a wrong Redis
 * eviction policy is an error.
 */
function queuesReady({ queueBackend, daos, log }: Deps): Component {
  return {
    name: 'queues',
    async start(signal) {
      let installation = '';
      const read = async () => {
        installation = (await daos.installation.current()).installation_id;
      };
      await untilDatabaseAnswers(log, read, signal);
      try {
        await queueBackend.prepare(installation);
      } catch (error) {
        if (!(error instanceof SluiceError) || !error.retryable) throw error;
        log.error(
          { code: error.code, cause: String(error.cause) },
          `${error.code}: starting without the queue; work waits until it can be reached`,
        );
      }
    },
    stop: () => queueBackend.close(),
  };
}
