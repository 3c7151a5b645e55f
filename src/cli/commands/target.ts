import type { Command } from 'commander';
import { actionCommands } from '../action-commands.ts';
import { type CliContext, clientOf, print } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { landingQueue } from '../landing-queue.ts';
import { plain, table } from '../table.ts';

export function targetCommands(program: Command, context: CliContext): void {
  const target = program.command('target').description('branches that patches land on');
  target
    .command('list')
    .description('branches, their tips, and which are paused')
    .action(async (_options: unknown, command: Command) => {
      const page = await clientOf(context, command).targets.list();
      print(context, command, page, () =>
        table(
          ['TARGET', 'TIP', 'PAUSED'],
          page.items.map(({ id, tip_commit, pause_reason, policy_error, fault }) => [
            plain(id),
            tip_commit?.slice(0, 12) ?? 'not seen yet',
            plain(pause_reason ?? fault?.message ?? policy_error),
          ]),
        ),
      );
    });
  target
    .command('show')
    .description('the tip and the landing queue: what each patch is tested on or waits for')
    .argument('<target>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const client = clientOf(context, command);
      const found = await client.targets.get(id);
      // Errors are ignored, because an unreachable remote must not hide the queue.
      const warnings = await client.targets.check(id).then(
        (check) => check.warnings,
        () => [],
      );
      const words = warnings.map(({ where, message }) => `policy, ${plain(where)}: ${plain(message)}\n`).join('');
      print(context, command, { ...found, warnings }, () => `${words}${landingQueue(found)}`);
    });
  target
    .command('check')
    .description('likely mistakes in the policy of a branch; exit 1 if there are any')
    .argument('<target>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const check = await clientOf(context, command).targets.check(id);
      const words = check.warnings.map(({ where, message }) => `${plain(where)}: ${plain(message)}`);
      if (check.policy_error !== null) words.unshift(plain(check.policy_error));
      print(context, command, check, () => words.join('\n') || 'no warnings');
      if (words.length > 0) process.exitCode = EXIT.failed;
    });
  target
    .command('delete')
    .description('forget a branch that no run is for')
    .argument('<target>')
    .action(async (id: string, _options: unknown, command: Command) => {
      await clientOf(context, command).targets.delete(id);
    });
  actionCommands(target, context, 'targets');
}
