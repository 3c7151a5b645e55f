import type { Ledger } from '../ledger/ledger.ts';
import { rollUp } from '../ledger/runs/roll-up.ts';

/** Stage: counts ended tasks in their workstreams and runs, and ends those that are complete. */
export async function rollUpEndings(ledger: Ledger): Promise<'again' | undefined> {
  return (await ledger.write(rollUp)) ? 'again' : undefined;
}
