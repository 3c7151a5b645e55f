import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { createProgram } from '../../../src/cli/main.ts';

const program = createProgram({ environment: {}, stdout: process.stdout, stderr: process.stderr, version: '0' });

/** Returns each command that can be run, with its words. */
function leaves(command: Command, words: readonly string[] = []): [string, Command][] {
  const below = command.commands.flatMap((each) => leaves(each, [...words, each.name()]));
  const isGroup = command.commands.length > 0 && words.join() !== 'worker';
  return isGroup || words.length === 0 ? below : [[words.join(' '), command], ...below];
}

test('the help of every command has a description and an example of that command', () => {
  const poor = leaves(program).filter(([words, command]) => {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) });
    command.outputHelp();
    return command.description() === '' || !help.includes(`sluice ${words}`) || !help.includes('\nExample: ');
  });
  expect(poor.map(([words]) => words)).toEqual([]);
});
