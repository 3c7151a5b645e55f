import type { GateDefinition } from '../../contract/policy.ts';
import type { GateOutcome } from '../../contract/states.ts';
import type { Doubt } from './snapshot.ts';
import { speaksAgainst } from './standing.ts';

/** One execution that has ended, of a gate that counts. */
export interface EndedRun {
  gateId: string;
  gate: GateDefinition;
  digest: string;
  pinned: boolean;
  patchIds: readonly string[];
  /** Null: it was green. */
  outcome: GateOutcome | null;
  startedAtMs: number;
  endedAtMs: number;
}

/** What spoke against a patch since something green under the same gate held it. `runs` oldest first. */
export function spokenAgainst<Run extends EndedRun>(patchId: string, runs: readonly Run[]): Run[] {
  const about = runs.filter(({ patchIds }) => patchIds.includes(patchId));
  const cleared = new Map<string, number>();
  for (const run of about) if (run.outcome === null) cleared.set(proofOf(run), run.startedAtMs);
  return about.filter((run) => {
    if (run.outcome === null || run.outcome === 'withdrawn') return false;
    return run.startedAtMs > (cleared.get(proofOf(run)) ?? Number.NEGATIVE_INFINITY);
  });
}

/** True when a run went bad with the patch at its end, and green ones have held it since. */
export function wasCleared(patchId: string, runs: readonly EndedRun[]): boolean {
  const everDoubted = runs.some(
    ({ outcome, patchIds }) => outcome !== null && speaksAgainst(outcome) && patchIds.at(-1) === patchId,
  );
  return everDoubted && spokenAgainst(patchId, runs).length === 0;
}

/** A run that spoke against a patch, with the tree that its candidate was without it. */
export function doubtOf(
  patchId: string,
  run: EndedRun,
  { restTreeId, amongGreen }: { restTreeId: string; amongGreen: boolean },
): Doubt {
  const { gateId, outcome, gate, digest, pinned, patchIds, startedAtMs, endedAtMs } = run;
  const last = patchIds.at(-1) === patchId;
  const about = { gateId, outcome: outcome!, gate, digest, pinned, startedAtMs, endedAtMs };
  return { ...about, restTreeId, amongGreen, last, alone: patchIds.length === 1 };
}

function proofOf({ digest, pinned }: EndedRun): string {
  return `${digest} ${pinned}`;
}
