import { afterAll } from 'vitest';

const duties: (() => unknown)[] = [];

/**
 * Registers a clean-up that runs at the end of the test file, also after a failed test, the last registered first.
 * Tests cannot use `afterAll`, because vitest never calls a hook that a running test registers.
 */
export function atTheEnd(duty: () => unknown): void {
  duties.push(duty);
}

afterAll(async () => {
  const failures: unknown[] = [];
  for (const duty of duties.splice(0).reverse()) {
    try {
      await duty();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'the clean-up of a test failed');
});
