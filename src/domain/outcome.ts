import type { RunState } from './lifecycles/run.ts';
import type { TaskState } from './lifecycles/task.ts';
import type { WorkstreamState } from './lifecycles/workstream.ts';

export type Outcome = 'succeeded' | 'failed' | 'cancelled';

interface Ended {
  total: number;
  ended: number;
}

/** What a workstream becomes when all its tasks have ended; undefined while one has not. */
export function workstreamEnding(
  counts: Ended & { failed: number; cancelled: number },
): Extract<WorkstreamState, 'COMPLETED' | 'FAILED'> | undefined {
  if (counts.ended < counts.total) return undefined;
  return counts.failed + counts.cancelled === 0 ? 'COMPLETED' : 'FAILED';
}

/** What a run becomes when all its workstreams have ended; only critical ones can fail it. */
export function runEnding(
  counts: Ended & { criticalFailed: number },
): Extract<RunState, 'COMPLETED' | 'FAILED'> | undefined {
  if (counts.ended < counts.total) return undefined;
  return counts.criticalFailed === 0 ? 'COMPLETED' : 'FAILED';
}

/** Whole percent, 100 only when everything has ended. */
export function progressPercentage({ total, ended }: Ended): number {
  return total === 0 ? 0 : Math.floor((100 * ended) / total);
}

export function outcomeOf(state: TaskState | RunState | WorkstreamState, reason: string | null): Outcome | null {
  if (state === 'COMPLETED') return 'succeeded';
  if (state === 'CANCELLED' || state === 'ABANDONED') return 'cancelled';
  if (state === 'FAILED') return reason === 'cancelled' ? 'cancelled' : 'failed';
  return null;
}
