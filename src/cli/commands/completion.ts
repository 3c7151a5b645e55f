import { Argument, type Command } from 'commander';
import { completionScript, SHELLS, type Shell } from '../completion-script.ts';
import type { CliContext } from '../context.ts';

export function completionCommand(program: Command, context: CliContext): void {
  program
    .command('completion')
    .description('print a script that completes commands and options in a shell')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText(
      'after',
      `
In ~/.bashrc and ~/.zshrc:  source <(sluice completion SHELL)
For fish:                   sluice completion fish > ~/.config/fish/completions/sluice.fish`,
    )
    .action((shell: Shell) => {
      context.stdout.write(completionScript(program, shell));
    });
}
