import type { LandingPlan } from './planner.ts';
import type { LandingSnapshot } from './snapshot.ts';

/** Where one patch stands, in words that need no further look-up. */
export interface PlaceInLine {
  patch_id: string;
  place: 'testing' | 'proven' | 'queued' | 'doubted' | 'behind' | 'not_to_land';
  /** The tree that is or will be tested for it; null while it has none. */
  tree_id: string | null;
  /** What stands before it there, in landing order. */
  behind: readonly string[];
}

export interface LandingView {
  /** Candidates that may be under test at once. */
  slots: number;
  prove: LandingSnapshot['prove'];
  red_tip: { gate: string; gate_id: string; outcome: string } | null;
  line: readonly PlaceInLine[];
}

/** What the plan means for each patch of the queue, in landing order. */
export function viewOf(plan: LandingPlan, snapshot: LandingSnapshot): LandingView {
  const { kept, apart, behind } = plan.line;
  const { redTip: red } = plan;
  const redTip = red === null ? null : { gate: red.gate, gate_id: red.gateId, outcome: red.outcome };
  const places = new Map<string, PlaceInLine>();
  for (const { candidate, standing } of kept) {
    const patchId = candidate.patchIds.at(-1)!;
    const starts = plan.steps.some((step) => step.kind === 'prove' && step.candidate.treeId === candidate.treeId);
    const testing = standing.kind === 'open' && (standing.live || starts);
    places.set(patchId, {
      patch_id: patchId,
      place: standing.kind === 'proven' ? 'proven' : testing ? 'testing' : 'queued',
      tree_id: candidate.treeId,
      behind: candidate.patchIds.slice(0, -1),
    });
  }
  for (const { patchId, alone, lands } of apart) {
    const place = lands ? 'doubted' : 'not_to_land';
    places.set(patchId, { patch_id: patchId, place, tree_id: alone.treeId, behind: [] });
  }
  for (const waiting of behind) {
    places.set(waiting.patchId, { patch_id: waiting.patchId, place: 'behind', tree_id: null, behind: waiting.behind });
  }
  const line = snapshot.queue.map(
    ({ patchId }): PlaceInLine =>
      places.get(patchId) ?? { patch_id: patchId, place: 'queued', tree_id: null, behind: [] },
  );
  return { slots: snapshot.slots, prove: snapshot.prove, red_tip: redTip, line };
}
