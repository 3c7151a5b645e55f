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
import { sleep } from './lib/clock.ts';
import type { Component } from './lib/component.ts';
import type { Log } from './lib/log.ts';
import { type CrashPoint, noCrashPoint } from './pipeline/support/ports.ts';
import { QueuePublisher } from './queues/publisher.ts';
import { createQueueBackend, type QueueBackend } from './queues/queue-backend.ts';
import { ToolRegistry } from './tools/registry.ts';

/** The parts that every role is made of. */
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
  /** What to do next on a target; the bench compares others with it. */
  planLanding: typeof planLanding;
  crashPoint: CrashPoint;
  /** Each role of a machine has its own mirrors root, so that no child's slot borrows from the coordinator's. */
  mirrorsOf: (role: 'scheduler' | 'worker' | 'api') => Mirrors;
}

const CONNECT_LIMIT_MS = 30_000;
const CONNECT_EVERY_MS = 1_000;

/** Plugs the parts together; nothing is connected yet. */
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

/** What must stand before a role starts, in order. */
export function foundation(deps: Deps, { migrate }: { migrate: boolean }): Component[] {
  return [databaseReady(deps, migrate), deps.wakeUps, toolsKnown(deps), queuesReady(deps), deps.publisher];
}

/** The embedded server, when no database was given; its address is known once it runs. */
export function embeddedServer(settings: Settings, log: Log): EmbeddedPostgres {
  const searchPath = settings.environment.PATH ?? '/usr/local/bin:/usr/bin:/bin';
  return new EmbeddedPostgres({ dataDir: settings.dataDir, log, searchPath });
}

export function wakeUpListener(deps: Deps, onWakeUp: (wakeUp: WakeUp) => void): WakeUpListener {
  return new WakeUpListener({ url: deps.database.url, log: deps.log, onWakeUp });
}

/** Waits for a database that is still starting, with a line a try; then `database.unreachable`. */
function databaseReady({ database, log }: Deps, migrate: boolean): Component {
  return {
    name: 'database',
    async start() {
      await untilDatabaseAnswers(log, async () => {
        await database.start();
        await database.ping();
      });
      if (migrate) {
        const applied = await migrateUp(database);
        if (applied.length > 0) log.info({ migrations: applied.length }, 'database.migrated');
      }
      // Another process may be migrating at this moment.
      await untilDatabaseAnswers(log, () => assertSchemaCurrent(database));
    },
    stop: () => database.stop(),
  };
}

/** A database that is away for a moment, or being migrated, while a role starts is no reason to end it: a line a try, for a while. */
export async function untilDatabaseAnswers(log: Log, attempt: () => Promise<void>): Promise<void> {
  const endsAt = performance.now() + CONNECT_LIMIT_MS;
  while (true) {
    try {
      await attempt();
      return;
    } catch (error) {
      const passes = hasCode(error, 'database.unreachable') || hasCode(error, 'database.behind');
      if (!passes || !error.retryable || performance.now() >= endsAt) throw error;
      const { code, cause, message } = error;
      log.warn({ code, cause: String((cause as Error | undefined)?.message ?? message) }, `${code}: trying again`);
      await sleep(CONNECT_EVERY_MS);
    }
  }
}

/** Who runs a tool, or takes tasks for it, makes sure that it has a breaker; its limits are the scheduler's to declare. */
function toolsKnown({ ledger, tools, log }: Deps): Component {
  return {
    name: 'tools',
    start: () => untilDatabaseAnswers(log, () => ledger.write((tx) => makeToolsKnown(tx, tools.declared()))),
    stop: async () => {},
  };
}

/** For roles that write verdicts or land by them. */
export function verdictKeyAgreed({ ledger, seal, log }: Deps): Component {
  return {
    name: 'verdict-key',
    start: () => untilDatabaseAnswers(log, () => ledger.write((tx) => agreeOnVerdictKey(tx, seal.fingerprint))),
    stop: async () => {},
  };
}

/** A queue that is away costs time, never work: the role starts and says so. A wrong Redis policy is an error. */
function queuesReady({ queueBackend, daos, log }: Deps): Component {
  return {
    name: 'queues',
    async start() {
      let installation = '';
      await untilDatabaseAnswers(log, async () => {
        installation = (await daos.installation.current()).installation_id;
      });
      try {
        await queueBackend.prepare(installation);
      } catch (error) {
        if (!(error instanceof SluiceError) || !error.retryable) throw error;
        log.error({ code: error.code, cause: String(error.cause) }, `${error.code}: going on without, work waits`);
      }
    },
    stop: () => queueBackend.close(),
  };
}
