import { isLoopback, localTokenFile } from '../contract/tokens.ts';

/**
 * Returns the token for a daemon: SLUICE_TOKEN, or the one in the file that SLUICE_TOKEN_FILE names, or for a daemon on
 * this machine the one in its data folder (SLUICE_DATA_DIR, by default .sluice), which is never sent to another machine.
 * Undefined if there is none.
 */
export function tokenFor(url: string, environment: Readonly<Record<string, string | undefined>>): string | undefined {
  if (environment.SLUICE_TOKEN) return environment.SLUICE_TOKEN;
  if (environment.SLUICE_TOKEN_FILE) return contentOf(environment.SLUICE_TOKEN_FILE);
  if (!URL.canParse(url) || !isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, ''))) return undefined;
  return contentOf(localTokenFile(environment.SLUICE_DATA_DIR || '.sluice'));
}

/** Undefined when the file cannot be read, and in browsers, which have no files. */
function contentOf(path: string): string | undefined {
  const files = globalThis.process?.getBuiltinModule?.('node:fs');
  try {
    return files?.readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
