import type { GateDefinition } from '../../contract/policy.ts';
import type { GateOutcome } from '../../contract/states.ts';
import { countsAgainst } from './candidate-status.ts';
import type { Suspicion } from './snapshot.ts';

/** An ended execution of a required (not advisory) gate. */
export interface EndedRun {
  gateId: string;
  gate: GateDefinition;
  digest: string;
  pinned: boolean;
  patchIds: readonly string[];
  /** Null when green. */
  outcome: GateOutcome | null;
  startedAtMs: number;
  endedAtMs: number;
}

/**
 * Returns the runs that ended badly with the patch since a green run under the same gate last held it, oldest first.
 */
export function spokenAgainst<Run extends EndedRun>(patchId: string, runs: readonly Run[]): Run[] {
  const about = runs.filter(({ patchIds }) => patchIds.includes(patchId));
  const cleared = new Map<string, number>();
  for (const run of about) if (run.outcome === null) cleared.set(proofOf(run), run.startedAtMs);
  return about.filter((run) => {
    if (run.outcome === null || run.outcome === 'withdrawn') return false;
    return run.startedAtMs > (cleared.get(proofOf(run)) ?? Number.NEGATIVE_INFINITY);
  });
}

/** True when a run went bad with the patch at the end of its candidate, and green runs have held it since. */
export function hasRecovered(patchId: string, runs: readonly EndedRun[]): boolean {
  const everDoubted = runs.some(
    ({ outcome, patchIds }) => outcome !== null && countsAgainst(outcome) && patchIds.at(-1) === patchId,
  );
  return everDoubted && spokenAgainst(patchId, runs).length === 0;
}

/** Turns a bad run into a doubt about one patch. `restTreeId`: the tree of the run's candidate without the patch. */
export function doubtOf(
  patchId: string,
  run: EndedRun,
  { restTreeId, amongGreen }: { restTreeId: string; amongGreen: boolean },
): Suspicion {
  const { gateId, outcome, gate, digest, pinned, patchIds, startedAtMs, endedAtMs } = run;
  const last = patchIds.at(-1) === patchId;
  const about = { gateId, outcome: outcome!, gate, digest, pinned, startedAtMs, endedAtMs };
  return { ...about, restTreeId, amongGreen, last, alone: patchIds.length === 1 };
}

function proofOf({ digest, pinned }: EndedRun): string {
  return `${digest} ${pinned}`;
}
