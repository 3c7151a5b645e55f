import { expect, test } from 'vitest';
import { Semaphore } from '../../../src/lib/semaphore.ts';

test('never more at once than there are permits, in order, and a failure gives its permit back', async () => {
  const semaphore = new Semaphore(2);
  let [running, most] = [0, 0];
  const order: number[] = [];
  const work = (n: number) => async () => {
    running += 1;
    most = Math.max(most, running);
    order.push(n);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (n === 1) throw new Error('boom');
    return n;
  };
  const settled = await Promise.allSettled([0, 1, 2, 3, 4].map((n) => semaphore.run(work(n))));
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled']);
  expect({ most, order }).toEqual({ most: 2, order: [0, 1, 2, 3, 4] });
});
