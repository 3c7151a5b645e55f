import { findBubblewrap } from '../../src/children/sandbox.ts';

/** Tells whether children can be confined here. In CI a missing sandbox is an error, so that no test is skipped. */
export async function bubblewrapWorks(): Promise<boolean> {
  try {
    await findBubblewrap(process.env.PATH ?? '');
    return true;
  } catch (error) {
    if (process.env.CI !== undefined) throw error;
    const problem = (error as Error).message;
    console.warn(
      `\n*** ${problem}: TESTS OF THE SANDBOX ARE SKIPPED. Install bubblewrap, or allow user namespaces. ***\n`,
    );
    return false;
  }
}
