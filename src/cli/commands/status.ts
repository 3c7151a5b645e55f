import { styleText } from 'node:util';
import type { Command } from 'commander';
import { CONFINEMENT_DANGERS } from '../../contract/states.ts';
import { type CliContext, clientOf, print } from '../context.ts';
import { coloured, plain, table } from '../table.ts';

export function statusCommands(program: Command, context: CliContext): void {
  program
    .command('status')
    .description('targets, running runs, queues, workers, tools and their breakers on one screen')
    .action(async (_options: unknown, command: Command) => {
      const client = clientOf(context, command);
      const [targets, breakers, tools, stats, workers, runs] = await Promise.all([
        client.targets.list(),
        client.breakers.list(),
        client.tools(),
        client.stats(),
        client.workers.list({ limit: 100 }),
        client.runs.list({ state: 'RUNNING', limit: 20 }),
      ]);
      const living = workers.items.filter(({ state }) => state !== 'DEAD' && state !== 'STOPPED');
      const data = {
        targets: targets.items,
        runs: runs.items,
        pools: stats.pools,
        workers: living,
        tools: tools.items,
        breakers: breakers.items,
      };
      const unconfined = (['none', 'user'] as const).flatMap((kind) => {
        const workers = living.filter(({ confinement }) => confinement === kind).length;
        return workers === 0
          ? []
          : [`${workers} of ${living.length} workers do not confine their children: ${CONFINEMENT_DANGERS[kind]}`];
      });
      print(context, command, data, () =>
        [
          ...unconfined.map((line) => styleText('red', line)),
          section(
            'Targets',
            ['TARGET', 'TIP', 'PAUSED'],
            data.targets.map((target) => [
              plain(target.id),
              target.tip_commit?.slice(0, 12) ?? 'not seen yet',
              plain(target.pause_reason ?? target.fault?.message ?? target.policy_error),
            ]),
          ),
          section(
            'Runs',
            ['RUN', 'STATE', 'PROGRESS', 'NAME'],
            data.runs.map((run) => [run.id, coloured(run.state), `${run.progress_percentage} %`, plain(run.name)]),
          ),
          section(
            'Queues',
            ['POOL', 'TASKS WAITING', 'OLDEST', 'IN FLIGHT', 'SLOTS', 'GATES WAITING', 'IN FLIGHT', 'SLOTS'],
            data.pools.map((pool) => [
              plain(pool.pool),
              String(pool.tasks_waiting),
              `${Math.round(pool.oldest_waiting_seconds)} s`,
              ...[pool.tasks_in_flight, pool.task_slots, pool.gates_waiting].map(String),
              ...[pool.gates_in_flight, pool.gate_slots].map(String),
            ]),
          ),
          section(
            'Workers',
            ['WORKER', 'STATE', 'POOLS', 'SLOTS', 'CONFINED BY', 'HOST'],
            data.workers.map((worker) => [
              worker.id,
              coloured(worker.state),
              worker.pools.join(','),
              `${worker.task_slots}+${worker.gate_slots}`,
              worker.confinement ?? '',
              `${plain(worker.hostname)}:${worker.pid}`,
            ]),
          ),
          section(
            'Tools',
            ['TOOL', 'BREAKER', 'FAULTS', 'REASON', 'WAITS'],
            data.breakers.map((breaker) => [
              plain(breaker.tool_name),
              coloured(breaker.state),
              `${breaker.failure_count}/${breaker.failure_threshold}`,
              plain(breaker.reason),
              plain(data.tools.find(({ id }) => id === breaker.tool_name)?.waits ?? ''),
            ]),
          ),
        ].join('\n\n'),
      );
    });
}

function section(title: string, head: string[], rows: string[][]): string {
  return `${styleText('bold', title)}\n${table(head, rows)}`;
}
