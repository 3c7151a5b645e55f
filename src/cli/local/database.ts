import { existsSync } from 'node:fs';
import { loadSettings, type Settings } from '../../config.ts';
import { SluiceError } from '../../contract/errors.ts';
import { embeddedFolder } from '../../database/running-server.ts';
import { createDeps, type Deps } from '../../deps.ts';
import type { CliContext } from '../context.ts';
import { logOf, withDatabase } from './start-roles.ts';

export { grantAgain, grantDaemonRole } from '../../database/daemon-role.ts';
export { migrateDown, migrateUp, migrationStatus } from '../../database/migrator.ts';
export { hashToken, newTokenSecret } from '../../domain/token.ts';
export { forgetVerdictKey } from '../../ledger/verdict-key.ts';

/**
 * Runs `work` with a connected database, the configured one or the embedded server, and says which. Throws
 * `usage.invalid` instead of making an embedded one unless `mayCreate`.
 */
export async function withDeps(
  context: CliContext,
  { mayCreate, ...options }: { config: string | undefined; dataDir: string | undefined; mayCreate: boolean },
  work: (deps: Deps) => Promise<void>,
): Promise<void> {
  const settings = await loadSettings(context.environment, options);
  const log = logOf(context, { ...settings, logLevel: settings.environment.LOG_LEVEL || 'warn' });
  context.stderr.write(`database: ${describe(settings)}\n`);
  if (settings.databaseUrl === undefined && !mayCreate && !existsSync(embeddedFolder(settings.dataDir))) {
    const cure = 'set DATABASE_URL or --data-dir, or start sluice up, which makes one';
    throw new SluiceError('usage.invalid', `there is no embedded database in ${settings.dataDir}: ${cure}`);
  }
  await withDatabase(settings, log, async (databaseUrl) => {
    const deps = createDeps(settings, log, databaseUrl, 2);
    await deps.database.start();
    try {
      await deps.database.ping();
      await work(deps);
    } finally {
      await deps.database.stop();
    }
  });
}

/** Names a database without its password. */
function describe({ databaseUrl, dataDir }: Settings): string {
  if (databaseUrl === undefined) return `embedded, in ${dataDir}`;
  if (!URL.canParse(databaseUrl)) return 'as DATABASE_URL names it';
  const { host, pathname, searchParams } = new URL(databaseUrl);
  return `${host === '' ? (searchParams.get('host') ?? 'local') : host}${pathname}`;
}
