import type { Command } from 'commander';
import { portNumber, wholeNumber } from '../amounts.ts';
import type { CliContext } from '../context.ts';
import type { FleetOptions, RoleOptions } from '../local/start-roles.ts';

/** Loaded when a role starts: commands that only ask the API start four times as fast without the daemon's code. */
const roles = () => import('../local/start-roles.ts');

/** Adds the commands that start long-running processes. */
export function roleCommands(program: Command, context: CliContext): void {
  withCommon(program.command('up'))
    .description('run everything on this machine: database (if none is configured), API, scheduler, workers')
    .option('--workers <n>', 'worker processes', wholeNumber, 2)
    .option('--host <host>', 'address to listen on')
    .option('--port <port>', 'port to listen on; 0 picks a free one', portNumber)
    .option('--pools <a,b>', 'pools that the workers serve', 'default')
    .option('--concurrency <n>', 'tasks at once in each worker, for each pool', wholeNumber, 2)
    .option('--gate-slots <n>', 'gates at once in each worker, for each pool', wholeNumber, 1)
    .option('--drain-seconds <n>', 'how long a stop waits for running work', wholeNumber, 30)
    .action(async (options: FleetOptions) => (await roles()).up(context, options));

  withCommon(program.command('api'))
    .description('run the HTTP API and Bull Board')
    .option('--host <host>', 'address to listen on')
    .option('--port <port>', 'port to listen on; 0 picks a free one', portNumber)
    .action(async (options: RoleOptions) => (await roles()).runApi(context, options));

  withCommon(program.command('scheduler'))
    .description('run a scheduler: dispatch, landing, progress, repair; any number may run')
    .action(async (options: RoleOptions) => (await roles()).runScheduler(context, options));

  // `sluice worker` starts worker processes; its subcommands, added elsewhere, show and control workers of the fleet.
  withCommon(program.command('worker'))
    .description('run supervised worker processes')
    .option('--processes <n>', 'worker processes', wholeNumber, 1)
    .option('--pools <a,b>', 'pools that the workers serve', 'default')
    .option('--concurrency <n>', 'tasks at once, for each pool', wholeNumber, 2)
    .option('--gate-slots <n>', 'gates at once, for each pool', wholeNumber, 1)
    .option('--drain-seconds <n>', 'how long a stop waits for running work', wholeNumber, 30)
    .action(async (options: Omit<FleetOptions, 'workers'> & { processes: number }) =>
      (await roles()).runWorkers(context, { ...options, workers: options.processes }),
    );
}

function withCommon(command: Command): Command {
  return command
    .option('--config <file>', 'configuration file (default: sluice.config.yaml if it exists)')
    .option('--data-dir <folder>', 'folder of mirrors, slots and the embedded database');
}
