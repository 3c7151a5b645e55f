import type { PlaceInQueue } from '../../contract/answers.ts';
import type { LandingPlan } from './planner.ts';
import type { LandingSnapshot } from './snapshot.ts';

/** The place of one patch in the landing queue, readable without further look-ups. */
export interface PlaceInLine {
  patch_id: string;
  place: PlaceInQueue;
  /** The tree that is or will be tested for it; null while it has none. */
  tree_id: string | null;
  /** Patches that it is tested on or waits for, in landing order. */
  behind: readonly string[];
  /** Lost runs with the patch at the end of their candidate; absent when there are none. */
  lost?: { gate: string; gate_id: string; times: number };
}

export interface LandingView {
  /** Candidates that may be under test at once. */
  slots: number;
  prove: LandingSnapshot['prove'];
  red_tip: { gate: string; gate_id: string; outcome: string } | null;
  line: readonly PlaceInLine[];
}

const PLACE_BEHIND = { conflict: 'behind', policy: 'behind_policy', push: 'push_refused' } as const;

/** Returns what the plan means for each patch of the queue, in landing order. */
export function viewOf(plan: LandingPlan, snapshot: LandingSnapshot): LandingView {
  const { accepted, suspects, waiting } = plan.line;
  const { redTip: red } = plan;
  const redTip = red === null ? null : { gate: red.gate, gate_id: red.gateId, outcome: red.outcome };
  const startedTrees = new Set(plan.steps.flatMap((step) => (step.kind === 'prove' ? [step.candidate.treeId] : [])));
  const places = new Map<string, PlaceInLine>();
  for (const { candidate, status } of accepted) {
    const patchId = candidate.patchIds.at(-1)!;
    const testing = status.kind === 'open' && (status.live || startedTrees.has(candidate.treeId));
    places.set(patchId, {
      patch_id: patchId,
      place: status.kind === 'proven' ? 'proven' : testing ? 'testing' : 'queued',
      tree_id: candidate.treeId,
      behind: candidate.patchIds.slice(0, -1),
    });
  }
  for (const { patchId, onTip, lands } of suspects) {
    const place = lands ? 'doubted' : 'not_to_land';
    places.set(patchId, { patch_id: patchId, place, tree_id: onTip.treeId, behind: [] });
  }
  for (const { patchId, blockedBy, why } of waiting) {
    const place = PLACE_BEHIND[why];
    places.set(patchId, { patch_id: patchId, place, tree_id: null, behind: blockedBy });
  }
  const line = snapshot.queue.map(({ patchId }): PlaceInLine => {
    const place = places.get(patchId) ?? { patch_id: patchId, place: 'queued', tree_id: null, behind: [] };
    return { ...place, ...lostRuns(patchId, snapshot) };
  });
  return { slots: snapshot.slots, prove: snapshot.prove, red_tip: redTip, line };
}

function lostRuns(patchId: string, snapshot: LandingSnapshot): Pick<PlaceInLine, 'lost'> {
  const lost = snapshot.suspicions(patchId).filter(({ outcome, last }) => outcome === 'lost' && last);
  const newest = lost.at(-1);
  return newest === undefined ? {} : { lost: { gate: newest.gate.name, gate_id: newest.gateId, times: lost.length } };
}

/** Returns a gate that was lost more than once with one patch; null when there is none. */
export function lostGateOf(
  landing: LandingView | null | undefined,
): { patch_id: string; gate: string; gate_id: string; times: number } | null {
  const place = landing?.line.find(({ lost }) => lost !== undefined && lost.times > 1);
  return place?.lost === undefined ? null : { patch_id: place.patch_id, ...place.lost };
}
