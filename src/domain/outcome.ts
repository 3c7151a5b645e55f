import type { RunState, WorkstreamState } from '../contract/states.ts';

interface Ended {
  total: number;
  ended: number;
}

/** Returns the state in which a workstream ends once all its tasks have ended; undefined before. */
export function workstreamEnding(
  counts: Ended & { failed: number; cancelled: number },
): Extract<WorkstreamState, 'COMPLETED' | 'FAILED'> | undefined {
  if (counts.ended < counts.total) return undefined;
  return counts.failed + counts.cancelled === 0 ? 'COMPLETED' : 'FAILED';
}

/** Returns the state in which a run ends once all its workstreams have ended. Only critical ones can fail it. */
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
