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
  const givenUp = new AbortController();
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
  const over = ended === undefined ? asked : Promise.race([asked, ended]);
  const starting = startAll(components, givenUp.signal);
  const stopAll = await Promise.race([starting, over.then(() => undefined)]);
  if (stopAll !== undefined) {
    ready?.();
    await over;
    stopping = true;
    await stopAll();
  } else {
    // The stop came during start-up. `startAll` has stopped everything when it fails.
    stopping = true;
    givenUp.abort();
    await starting.then((stop) => stop()).catch(() => {});
  }
  log.info({}, 'daemon.stopped');
}
