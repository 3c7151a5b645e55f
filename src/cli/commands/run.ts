import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { type Command, Option } from 'commander';
import { parse } from 'yaml';
import { SluiceError } from '../../contract/errors.ts';
import type { RunObject } from '../../contract/objects.ts';
import { OUTCOMES, type Outcome, RUN_STATES, type RunState } from '../../contract/states.ts';
import { actionCommands } from '../action-commands.ts';
import { dayCount } from '../amounts.ts';
import { type CliContext, clientOf, print, stateOption, writesJson } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { runTree } from '../run-tree.ts';
import { coloured, plain, table } from '../table.ts';
import { watchRun } from '../watch-run.ts';

export function runCommands(program: Command, context: CliContext): void {
  const run = program.command('run').description('submit, show and control runs');

  run
    .command('submit')
    .description('submit a run spec (YAML or JSON, - for standard input) and print the run id')
    .argument('<file>')
    .option('--watch', 'show the run until it has ended; exit 0 only if it is COMPLETED')
    .option('--idempotency-key <key>', 'the same key and spec return the same run')
    .action(async (file: string, options: { watch?: boolean; idempotencyKey?: string }, command: Command) => {
      const client = clientOf(context, command);
      const spec = await readSpec(file);
      const submitted = await client.runs.submit(spec as never, { idempotencyKey: options.idempotencyKey });
      const inJson = writesJson(command);
      if (options.watch && inJson) context.stdout.write(`${JSON.stringify(submitted)}\n`);
      else print(context, command, submitted, () => submitted.id);
      if (options.watch) leaveWith(await watchRun(context, client, { runId: submitted.id, inJson }));
    });

  run
    .command('validate')
    .description('check a run spec without submitting it')
    .argument('<file>')
    .action(async (file: string, _options: unknown, command: Command) => {
      const answer = await clientOf(context, command).runs.validate(await readSpec(file));
      print(context, command, answer, () => 'valid');
    });

  run
    .command('list')
    .description('runs, newest first')
    .addOption(stateOption(RUN_STATES))
    .addOption(new Option('--outcome <outcome>', 'only runs that ended so').choices(OUTCOMES))
    .option('--label <key=value>', 'only runs with this label')
    .option('--limit <n>', 'most runs to list', '20')
    .action(
      async (options: { state?: RunState; outcome?: Outcome; label?: string; limit: string }, command: Command) => {
        const page = await clientOf(context, command).runs.list({ ...options, limit: Number(options.limit) });
        print(context, command, page, () =>
          table(
            ['RUN', 'STATE', 'PROGRESS', 'TARGET', 'NAME'],
            page.items.map((item) => [
              item.id,
              coloured(item.state, item.outcome),
              `${item.progress_percentage} %`,
              plain(item.target_id),
              plain(item.name),
            ]),
          ),
        );
      },
    );

  run
    .command('show')
    .description('one run with its workstreams, tasks and patches')
    .argument('<run>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const expand = ['workstreams', 'tasks', 'patches', 'gates'] as const;
      const found = await clientOf(context, command).runs.get(id, { expand });
      print(context, command, found, () => runTree(found));
    });

  run
    .command('watch')
    .description('show a run until it has ended; with --output json, each event as a line, and last the whole run')
    .argument('<run>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const inJson = writesJson(command);
      leaveWith(await watchRun(context, clientOf(context, command), { runId: id, inJson }));
    });

  actionCommands(run, context, 'runs');

  run
    .command('prune')
    .description('delete all runs that ended so many days ago; what they landed stays proven')
    .requiredOption('--older-than <days>', 'days since their end', dayCount)
    .action(async ({ olderThan }: { olderThan: number }, command: Command) => {
      const deleted = await clientOf(context, command).runs.prune({ olderThanDays: olderThan });
      print(context, command, { deleted }, () => `${deleted} runs deleted`);
    });

  run
    .command('delete')
    .description('delete a run that has ended, with its tasks, patches, gates and logs')
    .argument('<run>')
    .action(async (id: string, _options: unknown, command: Command) => {
      await clientOf(context, command).runs.delete(id);
    });
}

function leaveWith(run: RunObject): void {
  if (run.state !== 'COMPLETED') process.exitCode = EXIT.failed;
}

async function readSpec(file: string): Promise<unknown> {
  let content: string;
  try {
    content = file === '-' ? await readAll(process.stdin) : await readFile(file, 'utf8');
  } catch (cause) {
    throw new SluiceError('usage.invalid', `${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
  try {
    return parse(content, { maxAliasCount: 100 });
  } catch (cause) {
    throw new SluiceError('spec.invalid', `${file}: ${(cause as Error).message.split('\n')[0]}`, { cause });
  }
}
