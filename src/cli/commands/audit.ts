import type { Command } from 'commander';
import type { AuditObject } from '../../contract/answers.ts';
import { type CliContext, clientOf, print } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { table } from '../table.ts';

export function auditCommand(program: Command, context: CliContext): void {
  program
    .command('audit')
    .description('check every commit that Sluice landed: tree, gates, verdicts; exit 1 if one is not proven')
    .argument('<target>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const audit = await clientOf(context, command).targets.audit(id);
      print(context, command, audit, () => auditTable(audit));
      const unproven = audit.commits.find(({ proven }) => !proven);
      if (unproven === undefined) return;
      context.stderr.write(`${unproven.commit} is not proven: ${unproven.problem}\n`);
      process.exitCode = EXIT.failed;
    });
}

function auditTable({ commits }: AuditObject): string {
  return table(
    ['COMMIT', 'PATCH', 'TREE', 'ON BRANCH', 'PROVEN BY'],
    commits.map(({ commit, patch_id, tree_id, on_branch, proofs, proven, problem, proven_by }) => [
      commit.slice(0, 12),
      patch_id,
      tree_id.slice(0, 12),
      on_branch ? 'yes' : 'removed',
      proven ? `${proofs.map(({ gate }) => gate).join(', ')}${batchNote(commit, proven_by)}` : `NOTHING: ${problem}`,
    ]),
  );
}

function batchNote(commit: string, provenBy: string): string {
  return commit === provenBy ? '' : ` (with ${provenBy.slice(0, 12)})`;
}
