import { sleep } from '../lib/clock.ts';
import { processesWithVariable, processesWorkingIn } from '../lib/process-identity.ts';
import type { Slot } from '../workspaces/slot.ts';
import type { StopCause } from './child-outcome.ts';

export interface CrowdWatch {
  /** Aborts when the child has more processes than allowed. */
  signal: AbortSignal;
  stop(): void;
}

/** A count reads every process's environment. 250 ms is short enough to stop a flood, and long enough to be cheap. */
const COUNT_EVERY_MS = 250;
/** Processes of bubblewrap itself: one outside the sandbox and one inside. */
const KEEPERS = 2;

/**
 * Counts the processes of a child, by environment or working directory. The kernel's own limit would count all
 * processes of the user, and does not hold for root.
 */
export function watchProcesses(
  slot: Slot,
  { max, sandboxed }: { max: number | undefined; sandboxed: boolean },
): CrowdWatch {
  const crowded = new AbortController();
  const stopped = new AbortController();
  if (max !== undefined) void count(slot, max + (sandboxed ? KEEPERS : 0));
  return { signal: crowded.signal, stop: () => stopped.abort() };

  async function count({ child, work }: Slot, limit: number): Promise<void> {
    while (await sleep(COUNT_EVERY_MS, stopped.signal)) {
      const marked = await processesWithVariable(`TMPDIR=${child.tmp}`).catch(() => []);
      const inside = await processesWorkingIn(work).catch(() => []);
      if (new Set([...marked, ...inside]).size <= limit) continue;
      crowded.abort('too_many_processes' satisfies StopCause);
      return;
    }
  }
}
