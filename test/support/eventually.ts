import { poll } from '../../src/lib/clock.ts';

/** Waits until the ledger (or the world) shows something; says what did not come. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false | null>,
  limitMs = 60_000,
): Promise<T> {
  const found = await poll(async () => (await probe()) || undefined, { everyMs: 50, limitMs });
  if (found === undefined) throw new Error(`did not happen in ${limitMs} ms: ${what}`);
  return found;
}
