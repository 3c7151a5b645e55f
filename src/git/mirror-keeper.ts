import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import { Ticker } from '../lib/ticker.ts';
import { IDLE_MS, maintainMirror } from './maintain-mirror.ts';
import type { Mirror } from './mirror.ts';
import type { Mirrors } from './mirrors.ts';

const LOOK_EVERY_MS = 5_000;
/** An unused mirror is looked at this often, so that its weekly repack is not missed. */
const LOOK_AT_UNUSED_EVERY_MS = 3_600_000;

/**
 * Maintains the mirrors that a process has used, one after the other. A failure is logged and does not stop the others.
 */
export function mirrorKeeper(mirrors: Mirrors, log: Log): Component {
  const lookedAtMs = new Map<Mirror, number>();
  /** True when the mirror was not used since maintenance last found nothing to do. */
  const isUnchanged = (mirror: Mirror): boolean => {
    const sinceMs = performance.now() - (lookedAtMs.get(mirror) ?? Number.NEGATIVE_INFINITY);
    return sinceMs < LOOK_AT_UNUSED_EVERY_MS && mirror.idleForMs() >= sinceMs + IDLE_MS;
  };
  const tick = async (signal: AbortSignal): Promise<void> => {
    for (const mirror of mirrors.all().filter((each) => !isUnchanged(each))) {
      if (signal.aborted) return;
      try {
        const startedAtMs = performance.now();
        const done = await maintainMirror(mirror, signal);
        if (done === 'nothing') lookedAtMs.set(mirror, startedAtMs);
        const durationMs = Math.round(performance.now() - startedAtMs);
        if (done !== 'nothing') log.info({ mirror: mirror.dir, done, durationMs }, 'mirror.maintained');
      } catch (error) {
        if (!signal.aborted) log.warn({ mirror: mirror.dir, err: error }, 'mirror.maintenance_failed');
      }
    }
  };
  return new Ticker({ name: 'mirror-keeper', everyMs: LOOK_EVERY_MS, log, tick });
}
