import { isLoopback, localTokenFile } from '../contract/tokens.ts';

/**
 * Returns the token for a daemon: SLUICE_TOKEN, or for a daemon on this machine the one in its data folder
 * (SLUICE_DATA_DIR, by default .sluice), which is never sent to another machine. Undefined if there is none.
 */
export function tokenFor(url: string, environment: Readonly<Record<string, string | undefined>>): string | undefined {
  if (environment.SLUICE_TOKEN) return environment.SLUICE_TOKEN;
  if (!URL.canParse(url) || !isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, ''))) return undefined;
  // The client also runs in browsers, which have no files.
  const files = globalThis.process?.getBuiltinModule?.('node:fs');
  if (files === undefined) return undefined;
  try {
    return files.readFileSync(localTokenFile(environment.SLUICE_DATA_DIR || '.sluice'), 'utf8').trim();
  } catch {
    return undefined;
  }
}
