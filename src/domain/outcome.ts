import type { RunState, WorkstreamState } from '../contract/states.ts';

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
