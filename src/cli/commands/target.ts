import type { Command } from 'commander';
import { type CliContext, clientOf, print } from '../context.ts';
import { landingQueue } from '../landing-queue.ts';
import { plain, table } from '../table.ts';

export function targetCommands(program: Command, context: CliContext): void {
  const target = program.command('target').description('where patches land');
  target.command('list').action(async (_options: unknown, command: Command) => {
    const page = await clientOf(context, command).targets();
    print(context, command, page, () =>
      table(
        ['TARGET', 'TIP', 'PAUSED'],
        page.items.map(({ id, tip_commit, pause_reason, policy_error, fault }) => [
          plain(id),
          tip_commit?.slice(0, 12) ?? 'not seen yet',
          plain(pause_reason ?? fault?.message ?? policy_error),
        ]),
      ),
    );
  });
  target
    .command('show')
    .description('tip, candidates, what each tests, what waits for what')
    .argument('<target>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const found = await clientOf(context, command).target(id);
      print(context, command, found, () => landingQueue(found));
    });
  for (const action of ['pause', 'resume'] as const) {
    target
      .command(action)
      .description(action === 'pause' ? 'test on, land nothing' : 'let landing go on')
      .argument('<target>')
      .requiredOption('--reason <text>', 'kept in the audit')
      .action(async (id: string, options: { reason: string }, command: Command) => {
        const steered = await clientOf(context, command).steerTarget(id, action, options.reason);
        print(context, command, steered, () => `${steered.id} ${steered.paused_at === null ? 'lands' : 'paused'}`);
      });
  }
}
