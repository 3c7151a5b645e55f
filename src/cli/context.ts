import { type Command, Option } from 'commander';
import { tokenFor } from '../client/local-token.ts';
import { SluiceClient } from '../client/sluice-client.ts';
import type { Environment } from '../config.ts';

export interface CliContext {
  environment: Environment;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  version: string;
}

export interface GlobalOptions {
  url?: string;
  token?: string;
  output?: 'text' | 'json';
}

const DEFAULT_URL = 'http://127.0.0.1:7411';

export function clientOf(context: CliContext, command: Command): SluiceClient {
  const { url, token } = command.optsWithGlobals<GlobalOptions>();
  const address = url ?? (context.environment.SLUICE_URL || DEFAULT_URL);
  // A person sees at once that no daemon answers.
  return new SluiceClient({ url: address, token: token ?? tokenFor(address, context.environment), retries: 0 });
}

/** Writes data to standard output: as JSON with `--output json`, otherwise as the text that `text` returns. */
export function print(context: CliContext, command: Command, data: unknown, text: () => string): void {
  const said = writesJson(command) ? JSON.stringify(data, null, 2) : text();
  if (said !== '') context.stdout.write(`${said}\n`);
}

export function writesJson(command: Command): boolean {
  return command.optsWithGlobals<GlobalOptions>().output === 'json';
}

/** Option `--state`, which accepts only states of the object. */
export function stateOption(states: readonly string[]): Option {
  return new Option('--state <state>', 'only objects in this state').choices(states);
}
