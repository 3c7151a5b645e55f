import { readFile } from 'node:fs/promises';
import { Command, CommanderError, Option } from 'commander';
import { SluiceError } from '../contract/errors.ts';
import { administrationCommands } from './commands/administration.ts';
import { auditCommand } from './commands/audit.ts';
import { backupCommands } from './commands/backup.ts';
import { checkCommand } from './commands/check.ts';
import { completionCommand } from './commands/completion.ts';
import { doctorCommand } from './commands/doctor.ts';
import { explainCommand } from './commands/explain.ts';
import { fleetCommands } from './commands/fleet.ts';
import { healthCommand } from './commands/health.ts';
import { initCommand } from './commands/init.ts';
import { gateCommands, patchCommands } from './commands/patch.ts';
import { repositoryCommands } from './commands/repository.ts';
import { roleCommands } from './commands/roles.ts';
import { runCommands } from './commands/run.ts';
import { schemaCommand } from './commands/schema.ts';
import { statusCommands } from './commands/status.ts';
import { targetCommands } from './commands/target.ts';
import { taskCommands } from './commands/task.ts';
import { webhookCommands } from './commands/webhook.ts';
import type { CliContext, GlobalOptions } from './context.ts';
import { addExamples } from './examples.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { plain } from './table.ts';

/** Runs one command line and returns the exit code. */
export async function main(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const context: CliContext = {
    environment,
    stdout: process.stdout,
    stderr: process.stderr,
    version: await ownVersion(),
  };
  const program = createProgram(context);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : EXIT.done;
  } catch (error) {
    const inJson = program.opts<GlobalOptions>().output === 'json';
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.done;
      if (inJson)
        context.stderr.write(inOneLine(new SluiceError('usage.invalid', error.message.replace(/^error: /, ''))));
      return EXIT.usage;
    }
    context.stderr.write(inJson ? inOneLine(error) : describe(error, environment.LOG_LEVEL === 'debug'));
    return exitCodeOf(error);
  }
}

/** Builds the command line: all commands with their help. */
export function createProgram(context: CliContext): Command {
  const program = new Command('sluice')
    .description('lands machine-made changes only when their tests pass on exactly the tree that lands')
    .version(context.version)
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text'))
    .option('--url <url>', 'address of the daemon (SLUICE_URL, default http://127.0.0.1:7411)')
    .option('--token <token>', 'API token (SLUICE_TOKEN)')
    .showHelpAfterError('(add --help for usage)')
    .exitOverride();
  // Inherited by the commands that are added from here on.
  program.configureOutput({
    writeErr: (text) => {
      if (program.opts<GlobalOptions>().output !== 'json') context.stderr.write(text);
    },
  });
  roleCommands(program, context);
  administrationCommands(program, context);
  initCommand(program, context);
  checkCommand(program, context);
  backupCommands(program, context);
  schemaCommand(program, context);
  doctorCommand(program, context);
  healthCommand(program, context);
  fleetCommands(program, context);
  statusCommands(program, context);
  explainCommand(program, context);
  runCommands(program, context);
  taskCommands(program, context);
  repositoryCommands(program, context);
  targetCommands(program, context);
  webhookCommands(program, context);
  auditCommand(program, context);
  patchCommands(program, context);
  gateCommands(program, context);
  completionCommand(program, context);
  addExamples(program);
  return program;
}

/** With `--output json`, an error is one line of JSON on standard error, in the words of the API's problem details. */
function inOneLine(error: unknown): string {
  const coded =
    error instanceof SluiceError
      ? error
      : new SluiceError('internal.error', (error as Error).message, { cause: error });
  const { code, message: detail, retryable, problems: errors, facts } = coded;
  return `${JSON.stringify({ error: { code, detail, retryable, errors, facts } })}\n`;
}

function describe(error: unknown, withStack: boolean): string {
  if (!(error instanceof SluiceError)) {
    const { message, stack } = error as Error;
    return withStack ? `sluice: ${stack}\n` : `sluice: ${plain(message)} (set LOG_LEVEL=debug for a stack trace)\n`;
  }
  const problems = error.problems.map(({ path, message }) => `  ${plain(path)}: ${plain(message)}\n`).join('');
  const stack = withStack ? `${error.stack}\n` : '';
  return `sluice: ${error.code}: ${plain(error.message)}\n${problems}${stack}`;
}

/** Tries two folders, because `package.json` is one folder higher in the compiled package. */
async function ownVersion(): Promise<string> {
  for (const path of ['../../package.json', '../../../package.json']) {
    const text = await readFile(new URL(path, import.meta.url), 'utf8').catch(() => undefined);
    if (text !== undefined) return (JSON.parse(text) as { version: string }).version;
  }
  return '0.0.0';
}
