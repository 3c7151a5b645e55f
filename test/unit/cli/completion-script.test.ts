import { execFileSync } from 'node:child_process';
import { Argument, Command, Option } from 'commander';
import { expect, test } from 'vitest';
import { completionScript } from '../../../src/cli/completion-script.ts';

function sample(): Command {
  const program = new Command('sluice')
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']))
    .option('--url <url>', "the daemon's address");
  const run = program.command('run').description("runs: what's submitted");
  run.command('list').addOption(new Option('--state <state>', 'state').choices(['RUNNING', 'FAILED']));
  run.command('show').argument('<run>').option('--watch', 'on');
  program.command('schema').addArgument(new Argument('<document>').choices(['policy', 'config']));
  return program;
}

/** Runs the script in bash and asks it what may follow the words; the last one is being written. */
function completedByBash(...words: string[]): string[] {
  const ask = `${completionScript(sample(), 'bash')}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sluice; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const said = execFileSync('bash', ['-c', ask, 'bash', 'sluice', ...words], { encoding: 'utf8' });
  return said.split('\n').filter((word) => word !== '');
}

test.each([
  [['ru'], ['run']],
  [['run', 'l'], ['list']],
  [
    ['run', 'list', '--state', ''],
    ['RUNNING', 'FAILED'],
  ],
  [['--url', 'run', 'sche'], ['schema']],
  [['schema', 'p'], ['policy']],
  [['run', 'show', '--w'], ['--watch']],
  [['run', 'list', '-o', 'j'], ['json']],
  [['run', 'show', '--url', ''], []],
])('bash completes %j by %j', (words, expected) => {
  expect(completedByBash(...words)).toEqual(expected);
});

test('the scripts of zsh and fish name every command and quote what descriptions hold', () => {
  const fish = completionScript(sample(), 'fish');
  expect(fish).toContain(`complete -c sluice -f -n '__sluice_at '\\''run'\\''' -a list`);
  expect(fish).toContain(`'the daemon'\\''s address'`);
  expect(completionScript(sample(), 'zsh')).toMatch(/^autoload -U \+X compinit bashcompinit/);
});
