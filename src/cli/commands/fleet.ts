import type { Command } from 'commander';
import { type CliContext, clientOf, print } from '../context.ts';
import { coloured, plain, table } from '../table.ts';

/** The workers, the tools and their breakers. */
export function fleetCommands(program: Command, context: CliContext): void {
  const worker = program.commands.find((command) => command.name() === 'worker')!;
  worker
    .command('list')
    .description('worker processes, newest first')
    .option('--state <state>')
    .action(async (options: { state?: string }, command: Command) => {
      const page = await clientOf(context, command).workers({ ...options, limit: 100 });
      print(context, command, page, () =>
        table(
          ['WORKER', 'STATE', 'POOLS', 'SLOTS', 'HOST', 'REFUSED'],
          page.items.map((item) => [
            item.id,
            item.draining ? `${coloured(item.state)} draining` : coloured(item.state),
            plain(item.pools.join(',')),
            `${item.task_slots}+${item.gate_slots}`,
            `${plain(item.hostname)}:${item.pid}`,
            String(item.refused_writes),
          ]),
        ),
      );
    });
  worker
    .command('drain')
    .description('let a worker take no more, and stop when it is empty')
    .argument('<worker>')
    .requiredOption('--reason <text>', 'kept in the audit')
    .action(async (id: string, { reason }: { reason: string }, command: Command) => {
      const drained = await clientOf(context, command).drainWorker(id, reason);
      print(context, command, drained, () => `${drained.id} draining`);
    });

  program
    .command('tool')
    .description('the declared tools')
    .command('list')
    .action(async (_options: unknown, command: Command) => {
      const page = await clientOf(context, command).tools();
      print(context, command, page, () =>
        table(
          ['TOOL', 'BREAKER', 'IN FLIGHT', 'RATE', 'TODAY', 'WAITS'],
          page.items.map((tool) => [
            plain(tool.id),
            coloured(tool.state),
            tool.concurrency === null ? String(tool.in_flight) : `${tool.in_flight}/${tool.concurrency}`,
            tool.rate_max === null ? '' : `${tool.recent_starts}/${tool.rate_max} in ${tool.rate_per_seconds} s`,
            tool.usd_per_day === null ? `$${tool.usd_today}` : `$${tool.usd_today}/$${tool.usd_per_day}`,
            plain(tool.waits),
          ]),
        ),
      );
    });

  const breaker = program.command('breaker').description('what stops a broken tool for all');
  breaker.command('list').action(async (_options: unknown, command: Command) => {
    const page = await clientOf(context, command).breakers();
    print(context, command, page, () =>
      table(
        ['TOOL', 'STATE', 'FAULTS', 'REASON', 'TRIPPED BY'],
        page.items.map((item) => [
          plain(item.tool_name),
          coloured(item.state),
          `${item.failure_count}/${item.failure_threshold}`,
          plain(item.reason),
          plain(item.tripped_by),
        ]),
      ),
    );
  });
  for (const action of ['reset', 'trip'] as const) {
    breaker
      .command(action)
      .description(action === 'trip' ? 'stop a tool for all, until a reset' : 'let a tool go on')
      .argument('<tool>')
      .requiredOption('--reason <text>', 'kept in the audit')
      .action(async (tool: string, { reason }: { reason: string }, command: Command) => {
        const steered = await clientOf(context, command).steerBreaker(tool, action, reason);
        print(context, command, steered, () => `${plain(steered.tool_name)} ${steered.state}`);
      });
  }
}
