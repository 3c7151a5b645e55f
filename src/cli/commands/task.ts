import type { Command } from 'commander';
import type { LogObject } from '../../contract/answers.ts';
import { TASK_STATES, type TaskState } from '../../contract/states.ts';
import { forTerminal } from '../../lib/terminal-text.ts';
import { actionCommands } from '../action-commands.ts';
import { type CliContext, clientOf, print, stateOption, writesJson } from '../context.ts';
import { coloured, plain, table } from '../table.ts';

export function taskCommands(program: Command, context: CliContext): void {
  const task = program.command('task').description('show and control tasks');

  task
    .command('list')
    .description('tasks, newest first')
    .option('--run <run>')
    .addOption(stateOption(TASK_STATES))
    .option('--tool <tool>')
    .option('--limit <n>', 'most tasks to list', '50')
    .action(async (options: { run?: string; state?: TaskState; tool?: string; limit: string }, command: Command) => {
      const page = await clientOf(context, command).tasks.list({ ...options, limit: Number(options.limit) });
      print(context, command, page, () =>
        table(
          ['TASK', 'STATE', 'TOOL', 'ATTEMPT', 'NAME', 'REASON'],
          page.items.map((item) => [
            item.id,
            coloured(item.state),
            plain(item.tool),
            String(item.attempt),
            plain(item.name),
            plain(item.reason),
          ]),
        ),
      );
    });

  task
    .command('show')
    .description('every field of a task, with its input and evidence')
    .argument('<task>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const found = await clientOf(context, command).tasks.get(id);
      print(context, command, found, () => fields(found));
    });

  task
    .command('logs')
    .description('print the output of the tool')
    .argument('<task>')
    .option('--follow', 'continue until the task has ended')
    .option('--raw', RAW)
    .action(async (id: string, options: { follow?: boolean }, command: Command) => {
      await printLogs(context, command, clientOf(context, command).tasks.logs(id, options));
    });

  actionCommands(task, context, 'tasks');
}

export const RAW = 'keep control sequences, which a terminal would obey';

/**
 * Writes each chunk to the stream that the tool wrote it to, or with `--output json` as one line to standard output.
 */
export async function printLogs(context: CliContext, command: Command, logs: AsyncIterable<LogObject>): Promise<void> {
  const json = writesJson(command);
  for await (const chunk of logs) {
    if (json) context.stdout.write(`${JSON.stringify(chunk)}\n`);
    else writeForeign(chunk.stream === 'stdout' ? context.stdout : context.stderr, chunk.text, command);
  }
}

/** Writes text from outside. Removes control sequences other than colours on a terminal, unless `--raw` is given. */
export function writeForeign(stream: NodeJS.WriteStream, text: string, command: Command): void {
  const raw = command.opts<{ raw?: boolean }>().raw === true || !stream.isTTY;
  stream.write(raw ? text : forTerminal(text));
}

export function fields(object: object): string {
  return Object.entries(object)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => `${key.padEnd(20)} ${typeof value === 'string' ? plain(value) : JSON.stringify(value)}`)
    .join('\n');
}
