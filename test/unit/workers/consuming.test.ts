import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import { ConsumptionMonitor, type Intake } from '../../../src/workers/consuming.ts';

const TIMES = { lookEveryMs: 1_000_000, reopenAfterMs: 20, giveUpAfterMs: 60 };

beforeAll(() => {
  // A busy machine must not make the steps longer.
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterAll(() => {
  vi.useRealTimers();
});

/** A watch over a worker with one free slot, and a record of its actions. */
function watched(given: { waiting?: string[]; queueAnswers?: boolean; free?: number; isPaused?: boolean } = {}) {
  const world = {
    waiting: ['tasks.default', 'gates.default'],
    queueAnswers: true,
    free: 1,
    lastDeliveryMs: Number.NEGATIVE_INFINITY,
    ...given,
  };
  const did: string[] = [];
  const intake: Intake = {
    queue: 'tasks.default',
    isPaused: given.isPaused ?? false,
    get free() {
      return world.free;
    },
    get lastDeliveryMs() {
      return world.lastDeliveryMs;
    },
    reopen: async () => void did.push('reopen'),
  };
  const full: Intake = {
    queue: 'gates.default',
    free: 0,
    isPaused: false,
    lastDeliveryMs: 0,
    reopen: async () => void did.push('no'),
  };
  const watch = new ConsumptionMonitor({
    intakes: [intake, full],
    findWaiting: async () => world.waiting,
    pingQueue: async () => {
      if (!world.queueAnswers) throw new Error('away');
    },
    onStarving: (starving) => did.push(starving ? 'starving' : 'fed'),
    onGiveUp: () => did.push('gives up'),
    log: silentLog(),
    times: TIMES,
  });
  const lookFor = async (ms: number): Promise<void> => {
    for (let passedMs = 0; passedMs < ms; passedMs += 5) {
      await watch.look();
      vi.advanceTimersByTime(5);
    }
  };
  return { world, did, lookFor };
}

test('a worker that receives none of the waiting work reopens its connections, then gives up', async () => {
  const { did, lookFor } = watched();
  await lookFor(45);
  expect(did).toEqual(['reopen', 'starving']);
  await lookFor(60);
  expect(did).toEqual(['reopen', 'starving', 'gives up']);
});

test('a delivered message clears the starving state', async () => {
  const { world, did, lookFor } = watched();
  await lookFor(40);
  world.lastDeliveryMs = performance.now();
  await lookFor(5);
  expect(did).toEqual(['reopen', 'starving', 'fed']);
});

test.each([
  ['no work waits', { waiting: [] }],
  ['only other queues have waiting work', { waiting: ['gates.default', 'tasks.gpu'] }],
  ['no slot is free', { free: 0 }],
  ['it is paused', { isPaused: true }],
])('a worker is not starving while %s', async (_why, given) => {
  const { did, lookFor } = watched(given);
  await lookFor(80);
  expect(did).toEqual([]);
});

test('a worker does not give up while the queue is unreachable, nor as soon as it is back', async () => {
  const { world, did, lookFor } = watched({ queueAnswers: false });
  await lookFor(120);
  world.queueAnswers = true;
  await lookFor(20);
  expect(did).toEqual(['reopen', 'starving']);
  await lookFor(80);
  expect(did).toEqual(['reopen', 'starving', 'gives up']);
});
