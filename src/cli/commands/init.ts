import { createInterface } from 'node:readline/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { SluiceError } from '../../contract/errors.ts';
import { type CliContext, print } from '../context.ts';
import type { DetectedGate } from '../local/detect-project.ts';
import type { ProjectPlan } from '../local/init-here.ts';
import { plain } from '../table.ts';

interface InitOptions {
  yes: boolean;
  force: boolean;
  gate: DetectedGate[];
}

export function initCommand(program: Command, context: CliContext): void {
  program
    .command('init')
    .description('write .sluice.yaml and sluice.config.yaml for the repository here: its tests, what prepares them')
    .option('-y, --yes', 'write without asking', false)
    .option('--force', 'also replace files that are there', false)
    .option('--gate <name=command>', 'a gate in place of those recognised; may be repeated', readGate, [])
    .action(async ({ yes, force, gate }: InitOptions, command: Command) => {
      const { planProject, writeProject } = await import('../local/init-here.ts');
      const plan = await planProject(context.environment, { here: process.cwd(), gates: gate });
      context.stderr.write(`${describe(plan, force)}\n`);
      if (!yes) await askToWrite();
      const written = await writeProject(plan, { force });
      print(context, command, { written, gates: plan.gates }, () =>
        [...written.map((path) => `wrote ${path}`), 'Next: sluice check, commit and push .sluice.yaml, sluice up'].join(
          '\n',
        ),
      );
    });
}

function describe({ found, gates, files, hasRemote }: ProjectPlan, force: boolean): string {
  const kept = files.filter(({ exists }) => exists && !force).map(({ path }) => `${path} is there and stays as it is`);
  const commands = gates.map(({ name, command }) => `  ${plain(name)}: ${plain(command.join(' '))}`);
  if (!hasRemote)
    kept.push('There is no remote named origin, and Sluice cannot push to a branch that is checked out: set url');
  return [`Found ${found.length === 0 ? 'no known project' : found.join(', ')}. Gates:`, ...commands, ...kept].join(
    '\n',
  );
}

/** Throws `usage.invalid` when the answer is no, or when no person can be asked. */
async function askToWrite(): Promise<void> {
  if (!process.stdin.isTTY) throw new SluiceError('usage.invalid', 'this is no terminal to ask on: use --yes');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question('Write these files? [Y/n] ');
  terminal.close();
  if (!/^\s*(y|yes)?\s*$/i.test(answer)) throw new SluiceError('usage.invalid', 'nothing was written');
}

function readGate(text: string, before: DetectedGate[]): DetectedGate[] {
  const [, name, words] = /^([a-zA-Z0-9][a-zA-Z0-9._-]*)=(.*\S.*)$/.exec(text) ?? [];
  if (name === undefined || words === undefined) throw new InvalidArgumentError('expected name=command');
  // Words with a meaning for a shell need one.
  const command = /["'`$&|;<>()*?~]/.test(words) ? ['sh', '-c', words.trim()] : words.trim().split(/\s+/);
  return [...before, { name, command }];
}
