import { expect, test } from 'vitest';
import { poll } from '../../../src/lib/clock.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { Ticker } from '../../../src/lib/ticker.ts';

const until = (check: () => boolean) => poll(async () => check() || undefined, { everyMs: 5, limitMs: 5_000 });

test('a wake-up starts a round at once, and wake-ups during a round cause exactly one more', async () => {
  let rounds = 0;
  let release = (): void => {};
  const ticker = new Ticker({
    name: 'test',
    everyMs: 60_000,
    log: silentLog(),
    tick: async () => {
      rounds += 1;
      if (rounds === 2) await new Promise<void>((resolve) => (release = resolve));
    },
  });
  await ticker.start();
  await until(() => rounds === 1);
  ticker.wake();
  await until(() => rounds === 2);
  ticker.wake();
  ticker.wake();
  release();
  await until(() => rounds === 3);
  await ticker.stop();
  expect(rounds).toBe(3);
});

test('a round that throws does not end a ticker, and stop waits for the running round', async () => {
  let rounds = 0;
  let ended = false;
  const ticker = new Ticker({
    name: 'test',
    everyMs: 1,
    log: silentLog(),
    tick: async () => {
      rounds += 1;
      if (rounds === 1) throw new Error('once');
      await new Promise((resolve) => setTimeout(resolve, 30));
      ended = true;
    },
  });
  await ticker.start();
  await until(() => rounds === 2);
  await ticker.stop();
  expect(ended).toBe(true);
  await ticker.stop();
});

test('stop before start does nothing', async () => {
  await new Ticker({ name: 'test', everyMs: 1, log: silentLog(), tick: async () => {} }).stop();
});
