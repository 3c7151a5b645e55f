import { sleep } from '../src/lib/clock.ts';

const LIMIT_MS = 5 * 60_000;

/** Retries a failing read for up to 5 min, because the harness itself kills the database that it reads. */
export async function patiently<T>(look: () => Promise<T>): Promise<T> {
  const endsAt = performance.now() + LIMIT_MS;
  while (true) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > endsAt) throw error;
      await sleep(50);
    }
  }
}
