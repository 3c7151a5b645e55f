import { poll } from '../../src/lib/clock.ts';

/** Polls `probe` until it returns a truthy value; after the limit, throws an error that names `what`. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false | null>,
  limitMs = 60_000,
): Promise<T> {
  const found = await poll(async () => (await probe()) || undefined, { everyMs: 50, limitMs });
  if (found === undefined) throw new Error(`did not happen in ${limitMs} ms: ${what}`);
  return found;
}
