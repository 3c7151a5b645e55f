import type { Command } from 'commander';
import { type CliContext, clientOf, print } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { plain, table } from '../table.ts';

export function repositoryCommands(program: Command, context: CliContext): void {
  const repository = program.command('repository').description('repositories that the configuration names');
  repository
    .command('list')
    .description('repositories, and the targets on them')
    .action(async (_options: unknown, command: Command) => {
      const page = await clientOf(context, command).repositories.list();
      print(context, command, page, () =>
        table(
          ['REPOSITORY', 'URL', 'TASKS AT ONCE', 'TARGETS'],
          page.items.map(({ id, url, concurrency, targets }) => [
            plain(id),
            plain(url),
            concurrency === null ? 'any' : String(concurrency),
            plain(targets.join(', ')),
          ]),
        ),
      );
    });
  repository
    .command('check')
    .description('whether the daemon can read a repository with its credentials; exit 1 if it cannot')
    .argument('<repository>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const check = await clientOf(context, command).repositories.check(id);
      const branch = check.default_branch === null ? '' : `, default branch ${plain(check.default_branch)}`;
      print(context, command, check, () =>
        check.readable ? `readable: ${check.branches} branches${branch}` : plain(check.problem),
      );
      if (!check.readable) process.exitCode = EXIT.failed;
    });
}
