import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import { Ticker } from '../lib/ticker.ts';
import { maintainMirror } from './maintain-mirror.ts';
import type { Mirrors } from './mirrors.ts';

const LOOK_EVERY_MS = 5_000;

/** Maintains the mirrors that a process has used, one after the other. A fault of one is logged and costs the others nothing. */
export function mirrorKeeper(mirrors: Mirrors, log: Log): Component {
  const tick = async (signal: AbortSignal): Promise<void> => {
    for (const mirror of mirrors.all()) {
      if (signal.aborted) return;
      try {
        const startedAt = performance.now();
        const done = await maintainMirror(mirror, signal);
        const durationMs = Math.round(performance.now() - startedAt);
        if (done !== 'nothing') log.info({ mirror: mirror.dir, done, durationMs }, 'mirror.maintained');
      } catch (error) {
        if (!signal.aborted) log.warn({ mirror: mirror.dir, err: error }, 'mirror.maintenance_failed');
      }
    }
  };
  return new Ticker({ name: 'mirror-keeper', everyMs: LOOK_EVERY_MS, log, tick });
}
