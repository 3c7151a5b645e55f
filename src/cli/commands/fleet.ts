import type { Command } from 'commander';
import { WORKER_STATES, type WorkerState } from '../../contract/states.ts';
import { actionCommands } from '../action-commands.ts';
import { type CliContext, clientOf, print, stateOption } from '../context.ts';
import { coloured, plain, table } from '../table.ts';

/** Adds the commands for workers, tools and breakers. */
export function fleetCommands(program: Command, context: CliContext): void {
  const worker = program.commands.find((command) => command.name() === 'worker')!;
  worker
    .command('list')
    .description('worker processes, newest first')
    .addOption(stateOption(WORKER_STATES))
    .action(async (options: { state?: WorkerState }, command: Command) => {
      const page = await clientOf(context, command).workers.list({ ...options, limit: 100 });
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
  actionCommands(worker, context, 'workers');

  program
    .command('tool')
    .description('declared tools, their limits and use')
    .command('list')
    .description('tools, what they use of their limits, and why their tasks wait')
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

  const breaker = program.command('breaker').description('circuit breakers, which stop a faulty tool fleet-wide');
  breaker
    .command('list')
    .description('the breaker of each tool: faults in a row, and why it is open')
    .action(async (_options: unknown, command: Command) => {
      const page = await clientOf(context, command).breakers.list();
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
  actionCommands(breaker, context, 'breakers');
}
