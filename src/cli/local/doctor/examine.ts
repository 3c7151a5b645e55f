import { existsSync } from 'node:fs';
import { type Environment, loadSettings, type Settings } from '../../../config.ts';
import { SluiceError } from '../../../contract/errors.ts';
import { embeddedFolder } from '../../../database/running-server.ts';
import { createDeps } from '../../../deps.ts';
import { startAll } from '../../../lib/component.ts';
import { silentLog } from '../../../lib/log.ts';
import { spawner } from '../../../lib/spawner.ts';
import { type MachineReport, machineReport } from '../machine-report.ts';
import { withDatabase } from '../start-roles.ts';
import { type Finding, fault, faultOf, ok } from './finding.ts';
import { lookAtConfiguration } from './look-at-configuration.ts';
import { lookAtMachine } from './look-at-machine.ts';
import { lookAtServices } from './look-at-services.ts';

const NO_FILE = '/dev/null';
/** URL of no server, for looks that need none. */
const NO_DATABASE = 'postgresql://127.0.0.1:1/none';

/** Examines this machine, its configuration, and the database and queue that it names. Changes nothing. */
export async function examine(
  environment: Environment,
  options: { dataDir?: string; config?: string },
): Promise<{ report: MachineReport; findings: Finding[] }> {
  const { settings, problem } = await readableSettings(environment, options);
  const stop = await startAll([spawner]);
  try {
    const report = await machineReport(settings);
    const deps = createDeps(settings, silentLog(), NO_DATABASE);
    const findings = [
      ...(await lookAtMachine(settings, report)),
      ...(problem === undefined ? await lookAtConfiguration(settings, deps) : [problem]),
      ...(await services(settings)),
    ];
    return { report, findings };
  } finally {
    await stop();
  }
}

/** Goes on with the defaults when the file is not valid, so that one mistake hides nothing else. */
async function readableSettings(
  environment: Environment,
  options: { dataDir?: string; config?: string },
): Promise<{ settings: Settings; problem?: Finding }> {
  try {
    return { settings: await loadSettings(environment, options) };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    const lines = error.problems.map(({ path, message }) => `${path}: ${message}`);
    const dataDir = { dataDir: options.dataDir };
    const problem = fault(
      'configuration',
      [error.message, ...lines].join('; '),
      'correct the file or the variable: docs/reference.md',
    );
    const { PATH, SLUICE_DATA_DIR } = environment;
    const few = { PATH, SLUICE_DATA_DIR, SLUICE_CONFIG: NO_FILE };
    try {
      return { settings: await loadSettings({ ...environment, SLUICE_CONFIG: NO_FILE }, dataDir), problem };
    } catch {
      // A variable is wrong: what is left finds programs and the data folder.
      return { settings: await loadSettings(few, dataDir), problem };
    }
  }
}

async function services(settings: Settings): Promise<Finding[]> {
  if (settings.databaseUrl === undefined && !existsSync(embeddedFolder(settings.dataDir))) {
    return [ok('database', 'none yet: DATABASE_URL is not set, and sluice up makes an embedded one')];
  }
  const findings: Finding[] = [];
  try {
    await withDatabase(settings, silentLog(), async (databaseUrl) => {
      findings.push(...(await lookAtServices(createDeps(settings, silentLog(), databaseUrl, 2))));
    });
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    findings.push(faultOf('database', error));
  }
  return findings;
}
