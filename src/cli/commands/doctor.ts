import { styleText } from 'node:util';
import type { Command } from 'commander';
import type { SluiceClient } from '../../client/sluice-client.ts';
import type { TargetCheckObject } from '../../contract/answers.ts';
import { type CliContext, clientOf, print } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import type { Finding } from '../local/doctor/finding.ts';
import type { MirrorReport } from '../local/machine-report.ts';
import { plain, table } from '../table.ts';

/**
 * Examines this machine and what its settings name and, if a daemon answers, reports likely mistakes in the policies of
 * its targets.
 */
export function doctorCommand(program: Command, context: CliContext): void {
  program
    .command('doctor')
    .description(
      'examine this machine, its configuration, database and queue, and the policies of targets; each finding with its cure',
    )
    .option('--data-dir <folder>', 'folder of mirrors, slots and the embedded database')
    .option('--config <file>', 'configuration file (default: sluice.config.yaml if it exists)')
    .addHelpText('after', '\nExit status 1: something cannot work.')
    .action(async (options: { dataDir?: string; config?: string }, command: Command) => {
      const { examine } = await import('../local/doctor/examine.ts');
      const { report, findings } = await examine(context.environment, options);
      const { dataDir, confinement, mirrors, aside } = report;
      const policies = await policiesOf(clientOf(context, command));
      const shown = {
        data_dir: dataDir,
        confinement,
        mirrors: mirrors.map(inWireNames),
        slots_set_aside: aside,
        policies,
        findings,
      };
      print(context, command, shown, () =>
        [...findings.map(findingLine), '', mirrorTable(mirrors), '', ...policyLines(policies)].join('\n'),
      );
      if (findings.some(({ state }) => state === 'error')) process.exitCode = EXIT.failed;
    });
}

const MARKS = { ok: styleText('green', '✓'), warning: styleText('yellow', '!'), error: styleText('red', '✗') };

function findingLine({ check, state, says, cure }: Finding): string {
  const line = `${MARKS[state]} ${plain(check)}: ${plain(says)}`;
  return cure === null ? line : `${line}\n    → ${plain(cure)}`;
}

function mirrorTable(mirrors: readonly MirrorReport[]): string {
  return table(
    ['MIRROR', 'ROLE', 'PACKS', 'LOOSE', 'MIB', 'BRANCHES'],
    mirrors.map(({ mirror, role, packs, looseObjects, sizeBytes, branches }) => [
      mirror,
      role,
      String(packs),
      String(looseObjects),
      (sizeBytes / 1024 / 1024).toFixed(1),
      plain(branches.join(', ')),
    ]),
  );
}

/** Returns null when the daemon cannot be asked. */
async function policiesOf(client: SluiceClient): Promise<TargetCheckObject[] | null> {
  try {
    const { items } = await client.targets.list();
    return await Promise.all(items.map(({ id, tip_commit }) => checkOf(client, { id, tip: tip_commit ?? '' })));
  } catch {
    return null;
  }
}

/** Reports an error as the policy error of this target, so that an unreachable remote hides no other policy. */
async function checkOf(client: SluiceClient, { id, tip }: { id: string; tip: string }): Promise<TargetCheckObject> {
  try {
    return await client.targets.check(id);
  } catch (error) {
    return { target_id: id, tip_commit: tip, policy_error: (error as Error).message, warnings: [] };
  }
}

function policyLines(policies: readonly TargetCheckObject[] | null): string[] {
  if (policies === null) return ['The policies of targets were not checked, because the daemon could not be asked.'];
  return policies.flatMap(({ target_id, policy_error, warnings }) => {
    const words = warnings.map(({ where, message }) => `${where}: ${message}`);
    return [...(policy_error === null ? [] : [policy_error]), ...words].map((line) =>
      plain(`Policy of ${target_id}, ${line}`),
    );
  });
}

function inWireNames({ mirror, role, packs, looseObjects, sizeBytes, branches }: MirrorReport): object {
  return { mirror, role, packs, loose_objects: looseObjects, size_bytes: sizeBytes, branches };
}
