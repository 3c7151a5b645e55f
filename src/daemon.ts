import { type Component, startAll } from './lib/component.ts';
import type { Log } from './lib/log.ts';
import { killLiveGroups } from './lib/process.ts';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

function endNow(): never {
  killLiveGroups();
  process.exit(130);
}

/**
 * Starts the components in order, runs them until a signal or `ended`, and stops them in reverse order. A second signal
 * kills all children and exits with 130 at once.
 */
export async function runDaemon(
  components: readonly Component[],
  { log, ready, ended }: { log: Log; ready?: () => void; ended?: Promise<void> },
): Promise<void> {
  let stopping = false;
  const asked = new Promise<void>((resolve) => {
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        if (stopping) endNow();
        stopping = true;
        log.info({ signal }, 'daemon.stopping');
        resolve();
      });
    }
  });
  const starting = startAll(components);
  const stopAll = await Promise.race([starting, asked.then(() => undefined)]);
  if (stopAll !== undefined) {
    ready?.();
    await Promise.race(ended === undefined ? [asked] : [asked, ended]);
    stopping = true;
    await stopAll();
  } else {
    // The stop came during start-up: wait for the start, then stop. If the start fails, `startAll` has stopped
    // everything.
    await starting.then((stop) => stop()).catch(() => {});
  }
  log.info({}, 'daemon.stopped');
}
