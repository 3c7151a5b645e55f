import { sleep } from '../lib/clock.ts';
import { processesWithVariable, processesWorkingIn } from '../lib/process-identity.ts';
import type { StopCause } from '../tools/classify-ending.ts';
import type { Slot } from '../workspaces/slot.ts';

export interface CrowdWatch {
  /** Aborts when there are too many. */
  signal: AbortSignal;
  stop(): void;
}

/** Counting reads every process's environment: often enough to stop a flood, seldom enough to cost nothing. */
const COUNT_EVERY_MS = 250;
/** bubblewrap itself, outside and inside. */
const KEEPERS = 2;

/**
 * Counts what a child has started, by its environment or by where it works. A limit of the kernel would count the whole user, and root not at all.
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
