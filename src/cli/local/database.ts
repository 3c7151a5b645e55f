import { loadSettings } from '../../config.ts';
import { createDeps, type Deps } from '../../deps.ts';
import type { CliContext } from '../context.ts';
import { logOf, withDatabase } from './start-roles.ts';

export { grantAgain, grantDaemonRole } from '../../database/daemon-role.ts';
export { migrateDown, migrateUp, migrationStatus } from '../../database/migrator.ts';
export { hashToken, newTokenSecret } from '../../domain/token.ts';
export { forgetVerdictKey } from '../../ledger/verdict-key.ts';

/** Runs `work` with a connected database: the configured one, or the embedded server. */
export async function withDeps(
  context: CliContext,
  options: { config: string | undefined; dataDir: string | undefined },
  work: (deps: Deps) => Promise<void>,
): Promise<void> {
  const settings = await loadSettings(context.environment, options);
  const log = logOf(context, { ...settings, logLevel: settings.environment.LOG_LEVEL || 'warn' });
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
