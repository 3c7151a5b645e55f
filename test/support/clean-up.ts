import { afterAll } from 'vitest';

const duties: (() => unknown)[] = [];

/**
 * Something to end or remove when the file is over, the last begun first, also after a failed test. vitest takes hooks only
 * while it collects a file: one that a running test registers is never called.
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
  if (failures.length > 0) throw new AggregateError(failures, 'what a test began could not be ended');
}, 120_000);
