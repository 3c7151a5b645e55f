import { type Component, startAll } from './lib/component.ts';
import type { Log } from './lib/log.ts';
import { killLiveGroups } from './lib/process.ts';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

function endNow(): never {
  killLiveGroups();
  process.exit(130);
}

/**
 * A process is one ordered list of components. Runs them until a signal (or `ended`), then stops them in reverse; a second
 * signal ends the process at once with 130.
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
    // Asked to stop while starting: what has started is stopped, what fails to start is gone anyway.
    await starting.then((stop) => stop()).catch(() => {});
  }
  log.info({}, 'daemon.stopped');
}
