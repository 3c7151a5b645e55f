import type { Command } from 'commander';
import { SluiceError } from '../../contract/errors.ts';
import { CONFINEMENT_DANGERS } from '../../contract/states.ts';
import { type CliContext, print } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import type { CheckedGate, CheckedTree, CheckReport } from '../local/check-here.ts';
import { plain } from '../table.ts';

export function checkCommand(program: Command, context: CliContext): void {
  program
    .command('check')
    .description('check .sluice.yaml here, and run its gates on HEAD and on the working tree as a worker would')
    .argument('[gates...]', 'gates to run (default: all)')
    .option('--config <file>', 'configuration file (default: sluice.config.yaml if it exists)')
    .action(async (gates: string[], options: { config?: string }, command: Command) => {
      const { checkHere, isSound } = await import('../local/check-here.ts');
      const onGate = (tree: CheckedTree, gate: CheckedGate): void => {
        context.stderr.write(`${tree.tree}: ${gateLine(gate)}\n`);
      };
      const report = await checkHere(context.environment, {
        here: process.cwd(),
        config: options.config,
        gates,
        onGate,
      });
      const known = report.trees.flatMap((tree) => tree.gates.map(({ gate }) => gate));
      const strange = gates.find((name) => !known.includes(name));
      if (strange !== undefined && report.trees.every(({ policy_error }) => policy_error === null)) {
        throw new SluiceError('usage.invalid', `the policy has no gate ${strange}`);
      }
      print(context, command, report, () => words(report));
      if (!isSound(report)) process.exitCode = EXIT.failed;
    });
}

function gateLine({ gate, outcome, exit_code, seconds }: CheckedGate): string {
  const status = exit_code === null ? '' : `, exit status ${exit_code}`;
  return `${gate} ${outcome}${outcome === 'passed' ? '' : status} (${seconds} s)`;
}

function words({ confinement, trees }: CheckReport): string {
  const danger = CONFINEMENT_DANGERS[confinement];
  const blocks = trees.flatMap((tree) => [
    ...(tree.policy_error === null ? [] : [`${tree.tree}: ${plain(tree.policy_error)}${cureOf(tree.policy_error)}`]),
    ...tree.warnings.map(({ where, message }) => `${tree.tree}, ${plain(where)}: ${plain(message)}`),
    ...tree.gates
      .filter(({ outcome }) => outcome !== 'passed' && outcome !== 'skipped')
      .map((gate) => failure(tree, gate)),
  ]);
  const counts = trees.map(({ tree, gates }) => {
    const green = gates.filter(({ outcome }) => outcome === 'passed').length;
    return `${tree}: ${green} of ${gates.length} gates passed`;
  });
  return [...blocks, ...(danger === null ? [] : [`The gates ran unconfined: ${danger}`]), ...counts].join('\n');
}

function cureOf(error: string): string {
  return error.startsWith('there is no') ? ' (sluice init writes one)' : '';
}

function failure({ tree }: CheckedTree, { gate, outcome, evidence }: CheckedGate): string {
  const { message, step, output_tail: tail } = evidence as { message?: string; step?: string; output_tail?: string };
  const why = [step === undefined ? undefined : `step ${step}`, message]
    .filter((part) => part !== undefined)
    .join(': ');
  const output =
    tail === undefined || tail === ''
      ? []
      : tail
          .trimEnd()
          .split('\n')
          .slice(-SHOWN_LINES)
          .map((line) => `  ${plain(line)}`);
  return [`${tree}: ${gate} ${outcome}${why === '' ? '' : `: ${plain(why)}`}`, ...output].join('\n');
}

const SHOWN_LINES = 20;
