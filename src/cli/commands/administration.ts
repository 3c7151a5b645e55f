import { type Command, Option } from 'commander';
import { SluiceError } from '../../contract/errors.ts';
import { TOKEN_SCOPES, type TokenScope } from '../../contract/tokens.ts';
import { type CliContext, print } from '../context.ts';
import { plain, table } from '../table.ts';
import { withDeps } from '../with-deps.ts';

/** Adds the commands that use the database directly: for the schema, and for tokens, which the API does not create. */
export function administrationCommands(program: Command, context: CliContext): void {
  const migrate = program.command('migrate').description('database schema and its migrations');
  migrate
    .command('up')
    .description('run the migrations that are missing')
    .action((_options: unknown, command: Command) =>
      withDeps(context, command, async ({ database }, { grantAgain, migrateUp }) => {
        const names = await migrateUp(database);
        await database.transaction(grantAgain);
        print(context, command, { applied: names }, () => names.join('\n') || 'nothing to do');
      }),
    );
  migrate
    .command('down')
    .description('revert the newest migration, or all after --to (0: all of them)')
    .option('--to <name>')
    .action((options: { to?: string }, command: Command) =>
      withDeps(context, command, async ({ database }, { migrateDown }) => {
        const names = await migrateDown(database, options.to);
        print(context, command, { reverted: names }, () => names.join('\n') || 'nothing to do');
      }),
    );
  migrate
    .command('grant')
    .description(
      'let a database role that does not own the schema run the daemon: it may add verdicts, never change one',
    )
    .argument('<role>', 'created without a password when it is missing')
    .action((role: string, _options: unknown, command: Command) =>
      withDeps(context, command, ({ ledger }, { grantDaemonRole }) => ledger.write((tx) => grantDaemonRole(tx, role))),
    );
  migrate
    .command('forget-verdict-key')
    .description(
      'accept another verdict key from the next scheduler or worker that starts; trees with verdicts under the old key are tested again',
    )
    .action((_options: unknown, command: Command) =>
      withDeps(context, command, ({ ledger }, { forgetVerdictKey }) => ledger.write(forgetVerdictKey)),
    );
  migrate
    .command('status')
    .description('the migrations of this version, and when each ran')
    .action((_options: unknown, command: Command) =>
      withDeps(context, command, async ({ database }, { migrationStatus }) => {
        const status = await migrationStatus(database);
        print(context, command, status, () =>
          table(
            ['MIGRATION', 'EXECUTED'],
            status.map(({ name, executed_at }) => [name, executed_at ?? 'no']),
          ),
        );
      }),
    );

  const token = program.command('token').description('API tokens; needs DATABASE_URL (or the embedded database)');
  token
    .command('create')
    .description('create a token and print it; it cannot be shown again')
    .argument('<name>')
    .addOption(
      new Option('--scope <scope>', 'each includes the ones before it').choices(TOKEN_SCOPES).default('submit'),
    )
    .action((name: string, { scope }: { scope: TokenScope }, command: Command) =>
      withDeps(context, command, async ({ daos }, { hashToken, newTokenSecret }) => {
        const secret = newTokenSecret();
        const id = await daos.tokens.createUnlessTaken({ name, token_hash: hashToken(secret), scopes: [scope] });
        if (id === undefined) throw new SluiceError('token.name_taken', `a token in use has the name ${name}`);
        print(context, command, { id, token: secret }, () => secret);
      }),
    );
  token
    .command('list')
    .description('tokens, without their secrets')
    .action((_options: unknown, command: Command) =>
      withDeps(context, command, async ({ daos }) => {
        const tokens = (await daos.tokens.listAll(1_000)).map(({ token_hash: _secret, token_id, ...shown }) => ({
          id: token_id,
          ...shown,
        }));
        print(context, command, tokens, () =>
          table(
            ['TOKEN', 'NAME', 'SCOPES', 'REVOKED'],
            tokens.map(({ id, name, scopes, revoked_at }) => [
              id,
              plain(name),
              scopes.join(','),
              revoked_at?.toISOString() ?? '',
            ]),
          ),
        );
      }),
    );
  token
    .command('revoke')
    .description('revoke a token; calls with it are refused at once')
    .argument('<token>')
    .action((id: string, _options: unknown, command: Command) =>
      withDeps(context, command, async ({ daos }) => {
        await daos.tokens.update(id, { revoked_at: new Date() });
      }),
    );
}
