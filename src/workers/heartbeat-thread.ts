import { parentPort, workerData } from 'node:worker_threads';
import { LoneConnection } from '../database/lone-connection.ts';
import { heartbeat, noteStall } from '../ledger/fleet/workers.ts';
import { sleep } from '../lib/clock.ts';
import type { FromHeartbeat, HeartbeatSetup, ToHeartbeat } from './heartbeat.ts';
import type { HeldAttempt } from './held-work.ts';

/**
 * Runs in its own thread with its own connection, so that a busy main thread delays no heartbeat. A main thread that
 * hangs gets none, because its counter stops.
 */
const { databaseUrl, workerId, leaseMs, everyMs, counter } = workerData as HeartbeatSetup;
const ticks = new Int32Array(counter);
// Half a lease: after an outage the first heartbeat must arrive before the reconciler may reap workers.
const connection = new LoneConnection(databaseUrl, { silentMs: leaseMs / 2 });
const stop = new AbortController();
let held: HeldAttempt[] = [];
let starving = false;
let overDisk = false;

parentPort!.on('message', (message: ToHeartbeat) => {
  if (message.kind === 'held') held = message.attempts;
  else if (message.kind === 'starving') starving = message.starving;
  else if (message.kind === 'over_disk') overDisk = message.overDisk;
  else stop.abort();
});

function say(message: FromHeartbeat): void {
  parentPort!.postMessage(message);
}

let seen = -1;
while (!stop.signal.aborted) {
  const now = Atomics.load(ticks, 0);
  if (now === seen) {
    say({ kind: 'stalled' });
    await noteStall(connection.tx, workerId).catch(() => {});
  } else {
    seen = now;
    const asked = held;
    const heldIds = asked.map(({ id }) => id);
    try {
      const work = await heartbeat(connection.tx, { workerId, heldIds, leaseMs, starving, overDisk });
      say(work === undefined ? { kind: 'refused' } : { kind: 'beat', asked, ...work });
    } catch (error) {
      say({ kind: 'unreachable', message: (error as Error).message });
    }
  }
  await sleep(everyMs, stop.signal);
}
await connection.end();
parentPort!.close();
