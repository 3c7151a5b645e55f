import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { SluiceError } from '../../contract/errors.ts';
import { PATCH_FORMATS, type PatchFormat } from '../../contract/patch-input.ts';
import { GATE_STATES, type GateState, PATCH_STATES, type PatchState } from '../../contract/states.ts';
import { actionCommands } from '../action-commands.ts';
import { wholeNumber } from '../amounts.ts';
import { type CliContext, clientOf, print, stateOption } from '../context.ts';
import { coloured, colouredPatch, plain, table } from '../table.ts';
import { fields, printLogs, RAW, writeForeign } from './task.ts';

interface SubmitPatchOptions {
  repository: string;
  branch: string;
  base?: string;
  format: Exclude<PatchFormat, 'inline'>;
  message?: string;
  scope?: string[];
  strip?: number;
  author?: string;
}

export function patchCommands(program: Command, context: CliContext): void {
  const patch = program.command('patch').description('submit, show and control patches');

  patch
    .command('submit')
    .description('submit one patch file and print its run, task and patch')
    .argument('<file>')
    .requiredOption('--repository <name>', 'a name from the configuration, or a path or URL where allowed')
    .option('--branch <branch>', 'branch to land on', 'main')
    .option('--base <commit>', 'commit that the patch was made on')
    .option('--format <format>', PATCH_FORMATS.filter((format) => format !== 'inline').join(', '), 'git_patch')
    .option('--message <text>', 'the commit message')
    .option('--scope <glob...>', 'paths that the patch may touch')
    .option('--strip <n>', 'leading folders to strip from file names (default: detected)', wholeNumber)
    .option('--author <author>', 'author as "Name <address>" (default: from the mail header of the patch)')
    .action(async (file: string, options: SubmitPatchOptions, command: Command) => {
      const { repository, branch, base, format, message, scope, strip } = options;
      const content_base64 = (await readPatch(file)).toString('base64');
      const author = options.author === undefined ? undefined : personOf(options.author);
      const input = { format, base, content_base64, strip, author } as const;
      const answer = await clientOf(context, command).patches.submit({ repository, branch, message, scope, input });
      print(context, command, answer, () => `${answer.run.id} ${answer.task.id} ${answer.patch.id}`);
    });

  patch
    .command('list')
    .description('patches, newest first')
    .option('--run <run>')
    .option('--task <task>')
    .addOption(stateOption(PATCH_STATES))
    .option('--limit <n>', 'most patches to list', '50')
    .action(async (options: { run?: string; task?: string; state?: PatchState; limit: string }, command: Command) => {
      const page = await clientOf(context, command).patches.list({ ...options, limit: Number(options.limit) });
      print(context, command, page, () =>
        table(
          ['PATCH', 'STATE', 'PATH', 'LANDED', 'REASON'],
          page.items.map((item) => [
            item.id,
            colouredPatch(item.state),
            plain(item.file_path),
            item.landed_commit?.slice(0, 12) ?? '',
            plain(item.reason),
          ]),
        ),
      );
    });

  patch
    .command('show')
    .description('every field of a patch')
    .argument('<patch>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const found = await clientOf(context, command).patches.get(id);
      print(context, command, found, () => fields(found));
    });

  patch
    .command('diff')
    .description('the change as a diff')
    .argument('<patch>')
    .option('--raw', RAW)
    .action(async (id: string, { raw }: { raw?: boolean }, command: Command) => {
      const diff = await clientOf(context, command).patches.diff(id);
      if (raw === true || !context.stdout.isTTY) context.stdout.write(diff);
      else writeForeign(context.stdout, diff.toString(), command);
    });

  actionCommands(patch, context, 'patches');
}

export function gateCommands(program: Command, context: CliContext): void {
  const gate = program.command('gate').description('show gate executions');
  gate
    .command('list')
    .description('gate executions, newest first')
    .option('--run <run>')
    .addOption(stateOption(GATE_STATES))
    .action(async (options: { run?: string; state?: GateState }, command: Command) => {
      const page = await clientOf(context, command).gates.list(options);
      print(context, command, page, () =>
        table(
          ['GATE', 'STATE', 'SUITE', 'OUTCOME', 'TREE'],
          page.items.map((item) => [
            item.id,
            coloured(item.state),
            plain(item.test_suite),
            item.outcome ?? '',
            item.tree_id?.slice(0, 12) ?? '',
          ]),
        ),
      );
    });
  gate
    .command('show')
    .description('every field of a gate execution')
    .argument('<gate>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const found = await clientOf(context, command).gates.get(id);
      print(context, command, found, () => fields(found));
    });
  gate
    .command('logs')
    .description('print the output of the gate')
    .argument('<gate>')
    .option('--follow', 'continue until the gate has ended')
    .option('--raw', RAW)
    .action(async (id: string, options: { follow?: boolean }, command: Command) => {
      await printLogs(context, command, clientOf(context, command).gates.logs(id, options));
    });
}

function personOf(text: string): { name: string; email: string } {
  const [, name, email] = /^\s*([^<>]+?)\s*<([^<>\s]+)>\s*$/.exec(text) ?? [];
  if (name !== undefined && email !== undefined) return { name, email };
  throw new SluiceError('usage.invalid', `--author is not of the form "Name <address>": ${text}`);
}

async function readPatch(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new SluiceError('usage.invalid', `${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
