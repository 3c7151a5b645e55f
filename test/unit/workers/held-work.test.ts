import { expect, test } from 'vitest';
import { HeldWork } from '../../../src/workers/held-work.ts';

test('work that the ledger has ended or given to another attempt is aborted', () => {
  const held = new HeldWork();
  const [kept, moved, gone] = ['kept', 'moved', 'gone'].map((id) => held.begin(id, 1));
  held.reconcile(held.attempts(), [
    { id: 'kept', attempt: 1 },
    { id: 'moved', attempt: 2 },
  ]);
  expect([kept, moved, gone].map((signal) => signal!.aborted)).toEqual([false, true, true]);
  expect(moved!.reason).toBe('lease_lost');
});

test('an answer about an older attempt does not abort one that began while the answer was on its way', () => {
  const held = new HeldWork();
  held.begin('task', 1);
  const asked = held.attempts();
  held.end('task', 1);
  const next = held.begin('task', 2);
  held.reconcile(asked, [{ id: 'task', attempt: 1 }]);
  held.reconcile(asked, []);
  expect(next.aborted).toBe(false);
});

test('the end of an older attempt does not end the next one, and a drain waits for both', async () => {
  const held = new HeldWork();
  held.begin('task', 1);
  const next = held.begin('task', 2);
  let idle = false;
  const waiting = held.whenIdle().then(() => {
    idle = true;
  });
  held.end('task', 1);
  expect(held.attempts()).toEqual([{ id: 'task', attempt: 2 }]);
  held.abort('task', 'cancelled');
  expect(next.aborted).toBe(true);
  await Promise.resolve();
  expect(idle).toBe(false);
  held.end('task', 2);
  await waiting;
});
