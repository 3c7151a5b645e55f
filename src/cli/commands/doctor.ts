import type { Command } from 'commander';
import type { ConfinementState } from '../../children/confinement.ts';
import type { SluiceClient } from '../../client/sluice-client.ts';
import type { TargetCheckObject } from '../../contract/answers.ts';
import { CONFINEMENT_DANGERS } from '../../contract/states.ts';
import { type CliContext, clientOf, print } from '../context.ts';
import type { MirrorReport } from '../local/machine-report.ts';
import { plain, table } from '../table.ts';

/**
 * Reports on this machine's data folder and, if a daemon answers, on likely mistakes in the policies of its targets.
 */
export function doctorCommand(program: Command, context: CliContext): void {
  program
    .command('doctor')
    .description(
      'show how children are confined here, mirrors and set-aside slots in the data folder, and likely mistakes in the policies of targets',
    )
    .option('--data-dir <folder>', 'folder of mirrors, slots and the embedded database')
    .action(async (options: { dataDir?: string }, command: Command) => {
      const { machineReport } = await import('../local/machine-report.ts');
      const { dataDir, confinement, mirrors, aside } = await machineReport(context.environment, options);
      const policies = await policiesOf(clientOf(context, command));
      const report = {
        data_dir: dataDir,
        confinement,
        mirrors: mirrors.map(inWireNames),
        slots_set_aside: aside,
        policies,
      };
      print(context, command, report, () =>
        [
          confinementLine(confinement),
          table(
            ['MIRROR', 'ROLE', 'PACKS', 'LOOSE', 'MIB', 'BRANCHES'],
            mirrors.map(({ mirror, role, packs, looseObjects, sizeBytes, branches }) => [
              mirror,
              role,
              String(packs),
              String(looseObjects),
              (sizeBytes / 1024 / 1024).toFixed(1),
              plain(branches.join(', ')),
            ]),
          ),
          ...policyLines(policies),
          ...aside.map(({ slot, reason, since }) => `Slot ${slot} is set aside since ${since}: ${plain(reason)}`),
        ].join('\n\n'),
      );
    });
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

function confinementLine({ kind, problem }: ConfinementState): string {
  const danger = CONFINEMENT_DANGERS[kind];
  const why = danger === null ? '' : `: ${problem ?? 'the configuration turns the sandbox off'}; ${danger}`;
  return `Confinement: ${kind}${why}`;
}

function inWireNames({ mirror, role, packs, looseObjects, sizeBytes, branches }: MirrorReport): object {
  return { mirror, role, packs, loose_objects: looseObjects, size_bytes: sizeBytes, branches };
}
