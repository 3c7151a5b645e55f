import type { CheckObject } from '../contract/answers.ts';
import { SluiceError } from '../contract/errors.ts';

/** Runs a check and returns its result with the code of its error. */
export async function probe(check: () => Promise<void>): Promise<CheckObject> {
  try {
    await check();
    return { ok: true };
  } catch (error) {
    const code = error instanceof SluiceError ? error.code : 'internal.error';
    return { ok: false, code, detail: (error as Error).message };
  }
}
