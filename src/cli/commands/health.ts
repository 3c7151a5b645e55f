import type { Command } from 'commander';
import type { CheckObject } from '../../contract/answers.ts';
import { SluiceError } from '../../contract/errors.ts';
import { type CliContext, print } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { plain } from '../table.ts';

const ANSWER_LIMIT_MS = 5_000;

export function healthCommand(program: Command, context: CliContext): void {
  program
    .command('health')
    .description('whether the role that runs here is ready, for health checks of containers; exit 1 if it is not')
    .option('--port <port>', 'port of its monitor (SLUICE_MONITOR_PORT)')
    .action(async (options: { port?: string }, command: Command) => {
      const port = options.port ?? context.environment.SLUICE_MONITOR_PORT;
      if (!port) throw new SluiceError('usage.invalid', 'name the port of the monitor: --port or SLUICE_MONITOR_PORT');
      const host = context.environment.SLUICE_MONITOR_HOST || '127.0.0.1';
      const { status, checks } = await readinessAt(/^(0\.0\.0\.0|::)$/.test(host) ? '127.0.0.1' : host, port);
      const lines = Object.entries(checks).map(([name, check]) => `${name}: ${check.ok ? 'ok' : plain(check.detail)}`);
      print(context, command, { status, checks }, () => [status, ...lines].join('\n'));
      if (status !== 'ready') process.exitCode = EXIT.failed;
    });
}

async function readinessAt(
  host: string,
  port: string,
): Promise<{ status: string; checks: Record<string, CheckObject> }> {
  try {
    const answer = await fetch(`http://${host.includes(':') ? `[${host}]` : host}:${Number(port)}/readyz`, {
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    return (await answer.json()) as { status: string; checks: Record<string, CheckObject> };
  } catch (cause) {
    throw new SluiceError('daemon.unreachable', `no role answers at port ${port}`, { cause });
  }
}
