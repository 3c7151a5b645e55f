import { findBubblewrap } from '../../src/children/sandbox.ts';

/** Whether children can be confined here. CI must be able to: there its absence is an error, not a gap. */
export async function bubblewrapWorks(): Promise<boolean> {
  try {
    await findBubblewrap(process.env.PATH ?? '');
    return true;
  } catch (error) {
    if (process.env.CI !== undefined) throw error;
    const problem = (error as Error).message;
    console.warn(
      `\n*** ${problem}: WHAT ONLY A SANDBOX CAN DO IS NOT TESTED. Install bubblewrap, or allow user namespaces. ***\n`,
    );
    return false;
  }
}
