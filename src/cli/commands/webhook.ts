import { type Command, Option } from 'commander';
import { DELIVERY_OUTCOMES, type DeliveryOutcome } from '../../contract/states.ts';
import { type CliContext, clientOf, print } from '../context.ts';
import { plain, table } from '../table.ts';

export function webhookCommands(program: Command, context: CliContext): void {
  const webhook = program.command('webhook').description('what webhooks were told');
  webhook
    .command('list')
    .description('deliveries, newest first')
    .addOption(new Option('--outcome <outcome>', 'only deliveries with this outcome').choices(DELIVERY_OUTCOMES))
    .option('--webhook <name>', 'deliveries of this webhook')
    .action(async (options: { outcome?: DeliveryOutcome; webhook?: string }, command: Command) => {
      const page = await clientOf(context, command).deliveries.list(options);
      print(context, command, page, () =>
        table(
          ['DELIVERY', 'WEBHOOK', 'TYPE', 'OUTCOME', 'ATTEMPTS', 'ANSWER'],
          page.items.map(({ id, webhook: name, type, outcome, attempts, status, error }) => [
            id,
            plain(name),
            type,
            outcome,
            String(attempts),
            plain(error ?? String(status ?? '')),
          ]),
        ),
      );
    });
  webhook
    .command('replay')
    .description('send a delivery again, with the same id and body')
    .argument('<delivery>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const delivery = await clientOf(context, command).deliveries.replay(id);
      print(context, command, delivery, () => `${delivery.id} ${delivery.outcome}`);
    });
}
