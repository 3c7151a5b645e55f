import { poll } from '../../src/lib/clock.ts';

/** The one bound of every wait of the suite: generous, because other work may keep all cores busy. */
const LIMIT_MS = 900_000;

/** Polls `probe` until it returns a truthy value; after the limit, throws an error that names `what`. */
export async function eventually<T>(what: string, probe: () => Promise<T | undefined | false | null>): Promise<T> {
  const found = await poll(async () => (await probe()) || undefined, { everyMs: 100, limitMs: LIMIT_MS });
  if (found === undefined) throw new Error(`did not happen in ${LIMIT_MS} ms: ${what}`);
  return found;
}
