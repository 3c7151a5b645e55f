import { expect, test } from 'vitest';
import { unlessAborted } from '../../../src/lib/clock.ts';
import { startAll } from '../../../src/lib/component.ts';

function recorder() {
  const events: string[] = [];
  const component = (name: string, start: () => void = () => {}) => ({
    name,
    start: async () => {
      start();
      events.push(`start ${name}`);
    },
    stop: async () => void events.push(`stop ${name}`),
  });
  return { events, component };
}

test('components start in order and stop in reverse, once', async () => {
  const { events, component } = recorder();
  const stop = await startAll([component('a'), component('b')]);
  await Promise.all([stop(), stop()]);
  expect(events).toEqual(['start a', 'start b', 'stop b', 'stop a']);
});

test('a component that cannot start is stopped with those before it, and its error is thrown', async () => {
  const { events, component } = recorder();
  const broken = component('b', () => {
    throw new Error('no port');
  });
  await expect(startAll([component('a'), broken, component('c')])).rejects.toThrow('no port');
  expect(events).toEqual(['start a', 'stop b', 'stop a']);
});

test('a stop during the start ends a component that waits, and starts no other', async () => {
  const { events, component } = recorder();
  const stop = new AbortController();
  const waiting = {
    ...component('b'),
    start: (signal?: AbortSignal) => {
      setImmediate(() => stop.abort(new Error('stopped')));
      return unlessAborted(new Promise<void>(() => {}), signal);
    },
  };
  await expect(startAll([component('a'), waiting, component('c')], stop.signal)).rejects.toThrow('stopped');
  expect(events).toEqual(['start a', 'stop b', 'stop a']);
  await expect(startAll([component('d')], stop.signal)).rejects.toThrow('stopped');
  expect(events).toHaveLength(3);
});
