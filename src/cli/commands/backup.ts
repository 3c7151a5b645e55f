import type { Command } from 'commander';
import { type CliContext, print } from '../context.ts';
import { withDeps } from '../with-deps.ts';

export function backupCommands(program: Command, context: CliContext): void {
  program
    .command('backup')
    .description('write the ledger, as it is at this moment, to a new folder; the daemon may go on working')
    .argument('<folder>')
    .option('--data-dir <folder>', 'data folder of the embedded database (DATABASE_URL wins)')
    .action((folder: string, _options: unknown, command: Command) =>
      withDeps(context, command, async (deps) => {
        const { backUp } = await import('../local/backup.ts');
        const manifest = await backUp(deps, folder, context.version);
        const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
        print(context, command, manifest, () => `${rows} rows of ${manifest.tables.length} tables in ${folder}`);
      }),
    );
  program
    .command('restore')
    .description('fill an empty database from a backup')
    .argument('<folder>')
    .option('--data-dir <folder>', 'data folder of the embedded database (DATABASE_URL wins)')
    .action((folder: string, _options: unknown, command: Command) =>
      withDeps(
        context,
        command,
        async (deps) => {
          const { restore } = await import('../local/backup.ts');
          const manifest = await restore(deps, folder);
          const key = manifest.key_restored ? ' with the key of verdicts' : '';
          print(context, command, manifest, () => `restored as of ${manifest.created_at}${key}: start the daemon`);
        },
        { mayCreate: true },
      ),
    );
}
