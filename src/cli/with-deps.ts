import type { Command } from 'commander';
import type { Deps } from '../deps.ts';
import type { CliContext } from './context.ts';

/** Loads the code of the database and runs `work` with it. Commands that only ask the API start without that code. */
export async function withDeps(
  context: CliContext,
  command: Command,
  work: (deps: Deps, local: typeof import('./local/database.ts')) => Promise<void>,
  { mayCreate = false }: { mayCreate?: boolean } = {},
): Promise<void> {
  const local = await import('./local/database.ts');
  const { config, dataDir } = command.optsWithGlobals<{ config?: string; dataDir?: string }>();
  await local.withDeps(context, { config, dataDir, mayCreate }, (deps) => work(deps, local));
}
