import { SluiceError } from '../../../contract/errors.ts';
import { isLoopback } from '../../../contract/tokens.ts';
import { sql } from '../../../database/database.ts';
import { assertSchemaCurrent } from '../../../database/migrator.ts';
import type { Deps } from '../../../deps.ts';
import { readAdmissionState } from '../../../ledger/attempts/admission-state.ts';
import { type Finding, fault, faultOf, ok, warning } from './finding.ts';

/** Difference between the clocks of this machine and of the database that is worth a word. */
const CLOCK_LIMIT_SECONDS = 5;

/** Looks at the database and the queue that the settings name, and at what the fleet was configured with. */
export async function lookAtServices(deps: Deps): Promise<Finding[]> {
  const findings = [
    await asked('database', 'answers', async () => {
      await deps.database.start();
      await deps.database.ping();
    }),
  ];
  try {
    if (findings[0]!.state !== 'ok') return findings;
    findings.push(await asked('schema', 'is the one of this version', () => assertSchemaCurrent(deps.database)));
    if (findings[1]!.state !== 'ok') return findings;
    const { installation_id: installation } = await deps.daos.installation.current();
    const queue = deps.queueBackend.kind === 'redis' ? 'Redis answers and evicts nothing' : 'in the database';
    findings.push(
      await ofDrift(deps),
      await ofClock(deps),
      await asked('queue', queue, async () => {
        // With PostgreSQL this would make tables; it is the database that answered above.
        if (deps.queueBackend.kind === 'redis') await deps.queueBackend.prepare(installation);
      }),
      await ofTokens(deps),
      ...(await ofLimits(deps)),
    );
    return findings;
  } finally {
    await deps.queueBackend.close();
    await deps.database.stop();
  }
}

async function asked(check: string, says: string, question: () => Promise<void>): Promise<Finding> {
  try {
    await question();
    return ok(check, says);
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return faultOf(check, error);
  }
}

async function ofDrift({ database }: Deps): Promise<Finding> {
  const statements = (await database.orm.schema.getUpdateSchemaSQL()).split('\n').filter((line) => line !== '');
  if (statements.length === 0) return ok('schema drift', 'tables and indexes are as the migrations made them');
  const says = `${statements.length} differences from the migrations: ${statements[0]}`;
  return warning('schema drift', says, 'undo what was changed by hand');
}

async function ofClock({ database }: Deps): Promise<Finding> {
  const before = Date.now();
  const [row] = await database.query<{ ms: number }>(
    sql`select extract(epoch from clock_timestamp())::float8 * 1000 as ms`,
  );
  const difference = Math.abs(row!.ms - (before + Date.now()) / 2) / 1_000;
  if (difference < CLOCK_LIMIT_SECONDS) return ok('clock', 'agrees with the database');
  const says = `differs from the clock of the database by ${Math.round(difference)} s`;
  return warning('clock', says, 'leases go by the clock of the database, but logs and reports differ: run NTP');
}

async function ofTokens({ daos, settings }: Deps): Promise<Finding> {
  const tokens = await daos.tokens.count({ revoked_at: null });
  if (tokens === 0 && !isLoopback(settings.host)) {
    return fault(
      'tokens',
      `none, and the API is to listen on ${settings.host}`,
      'sluice token create first --scope admin',
    );
  }
  return ok('tokens', tokens === 0 ? 'none: the API listens on loopback only' : `${tokens} in use`);
}

/** Compares the limits of this configuration with those of the fleet, which are of the scheduler that started last. */
async function ofLimits({ database, tools }: Deps): Promise<Finding[]> {
  const { tools: inForce } = await readAdmissionState(database);
  return tools.declared().flatMap((declared) => {
    const fleet = inForce.find(({ tool }) => tool === declared.tool);
    if (fleet === undefined) return [];
    const differs = (['concurrency', 'rate_max', 'rate_per_seconds', 'usd_per_day'] as const).filter(
      (limit) => (declared[limit] ?? null) !== fleet[limit],
    );
    if (differs.length === 0) return [];
    const says = `${differs.join(', ')} of ${declared.tool} differ from the fleet's`;
    return [warning('configuration drift', says, 'give every role the same sluice.config.yaml and start them again')];
  });
}
