import type { Ledger } from '../ledger/ledger.ts';
import { rollUp } from '../ledger/runs/roll-up.ts';

/** Stage: endings of tasks count upwards until workstreams and runs end. */
export async function rollUpEndings(ledger: Ledger): Promise<'again' | undefined> {
  return (await ledger.write(rollUp)) ? 'again' : undefined;
}
