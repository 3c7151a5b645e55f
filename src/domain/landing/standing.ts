import type { GateOutcome } from '../../contract/states.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Proof } from '../gates-in-force.ts';
import type { Candidate, Doubt, LandingSnapshot, ProofState, Spoiled } from './snapshot.ts';

export type Standing =
  /** Every required gate is green. */
  | { kind: 'proven' }
  /** `start`: the gates that may start now. */
  | { kind: 'open'; live: boolean; start: Proof[] };

/** The gate itself is at fault: what proves nothing blocks. */
const PROVES_NOTHING: readonly GateOutcome[] = ['unproven', 'tainted'];
/** Accepted probability of blocking a good patch because of flaky gates. */
const TOLERATED = 1e-4;

export function requiredProofs(candidate: Candidate): Proof[] {
  return candidate.proofs.filter(({ gate }) => !gate.advisory);
}

export function standingOf(candidate: Candidate, snapshot: LandingSnapshot): Standing {
  const states = requiredProofs(candidate).map((proof) => snapshot.proofState(proof.treeId, proof.digest));
  if (states.every(({ passed }) => passed)) return { kind: 'proven' };
  const live = states.some((state) => state.live);
  return { kind: 'open', live, start: candidate.proofs.filter((proof) => mayStart(proof, candidate, snapshot)) };
}

/** True when some required gate came out badly on its tree and none of them is asked again. */
export function isSpoiled(candidate: Candidate, snapshot: LandingSnapshot): boolean {
  return requiredProofs(candidate).some(({ treeId, digest }) => {
    const { passed, undecided = false, live, spoiled } = snapshot.proofState(treeId, digest);
    return !passed && !undecided && !live && spoiled.some(({ outcome }) => speaksAgainst(outcome));
  });
}

/**
 * True when a prefix went bad with the patch at its end, and what stood before it is green, under test, or the tip. Under test
 * counts only what is placed before it: two that went bad behind each other would else be put apart in turn, each because
 * the other one is tried, and neither would ever be let run to its end.
 */
export function isDoubted(patchId: string, snapshot: LandingSnapshot, isPlaced: (treeId: string) => boolean): boolean {
  const lost = lostWithIt(patchId, snapshot);
  const doubts = [...standingDoubts(patchId, snapshot), ...(lost.length >= LOST_BEFORE_APART ? lost : [])];
  return doubts.some(({ last, restTreeId, digest }) => {
    const { passed, live } = snapshot.proofState(restTreeId, digest);
    return last && (passed || (live && isPlaced(restTreeId)) || restTreeId === snapshot.tipTreeId);
  });
}

/** Without those of a time in which the tip itself was bad, once that is over. */
export function standingDoubts(patchId: string, snapshot: LandingSnapshot): Doubt[] {
  return snapshot.doubts(patchId).filter(({ outcome, digest, startedAtMs }) => {
    return speaksAgainst(outcome) && startedAtMs >= badTimeUntilMs(snapshot.health(digest));
  });
}

/** What began before is from a time in which the tip itself was bad, and that is over; 0 where there was none. */
function badTimeUntilMs({ greenAtMs, badTipAtMs }: { greenAtMs: number; badTipAtMs: number }): number {
  return badTipAtMs < greenAtMs ? badTipAtMs : 0;
}

/** Runs lost with the patch at the end: after so many it is tried apart, so that the line goes on without it. */
const LOST_BEFORE_APART = 2;
/** So many lost runs in a row, with green runs of other candidates between them, come from what the patch holds. */
export const LOST_FOR_CERTAINTY = 8;

function lostWithIt(patchId: string, snapshot: LandingSnapshot): Doubt[] {
  return snapshot.doubts(patchId).filter(({ outcome, last }) => outcome === 'lost' && last);
}

export type Judgement =
  /** Bad too often for a flake, each time on a tree of which the rest is green, while others were green: then it is the patch. */
  | { kind: 'bad'; doubt: Doubt; times: number }
  /** Bad often enough, but nothing was seen green since: it may be the machines. */
  | { kind: 'unconfirmed'; doubt: Doubt }
  /** Bad often enough as soon as the rests that the line tests anyway come out green. */
  | { kind: 'pending' }
  | { kind: 'unclear' };

export function judgementOf(
  patchId: string,
  { snapshot, underTest }: { snapshot: LandingSnapshot; underTest: ReadonlySet<string> },
): Judgement {
  const lost = lostWithIt(patchId, snapshot).filter(({ amongGreen }) => amongGreen);
  if (lost.length >= LOST_FOR_CERTAINTY) return { kind: 'bad', doubt: lost.at(-1)!, times: lost.length };
  const doubts = standingDoubts(patchId, snapshot);
  const rest = ({ restTreeId, digest }: Doubt) => snapshot.proofState(restTreeId, digest);
  const solid = doubts.filter((doubt) => rest(doubt).passed || (doubt.alone && !isExcusedByTip(doubt, snapshot)));
  const found = enoughOf(solid, snapshot.flakeRate);
  if (found !== undefined) {
    const excused = isExcusedByTip(found.doubt, snapshot);
    const greenSince = snapshot.health(found.doubt.digest).greenAtMs > found.doubt.startedAtMs;
    return excused && !greenSince ? { kind: 'unconfirmed', doubt: found.doubt } : { kind: 'bad', ...found };
  }
  const likely = doubts.filter((doubt) => solid.includes(doubt) || underTest.has(doubt.restTreeId));
  return { kind: enoughOf(likely, snapshot.flakeRate) === undefined ? 'unclear' : 'pending' };
}

/** Whether a tip that does no better excuses a patch: not from a judge that is itself at fault, nor from its own run's gates. */
export function isExcusedByTip({ outcome, digest }: Doubt, snapshot: LandingSnapshot): boolean {
  return !PROVES_NOTHING.includes(outcome) && snapshot.isOfBranch(digest);
}

/** Enough of one kind, and not all at one time: prefixes that run side by side meet the same trouble. */
function enoughOf(doubts: readonly Doubt[], flakeRate: number): { doubt: Doubt; times: number } | undefined {
  for (const doubt of doubts.toReversed()) {
    const { digest, outcome } = doubt;
    const alike = doubts.filter((other) => other.digest === digest && other.outcome === outcome);
    const needed = timesForCertainty(outcome, flakeRate);
    if (alike.length >= needed && occasionsOf(alike) >= Math.min(2, needed)) return { doubt, times: alike.length };
  }
  return undefined;
}

function occasionsOf(doubts: readonly Doubt[]): number {
  let [occasions, until] = [0, Number.NEGATIVE_INFINITY];
  for (const { startedAtMs, endedAtMs } of doubts.toSorted((a, b) => a.endedAtMs - b.endedAtMs)) {
    if (startedAtMs < until) continue;
    occasions += 1;
    until = endedAtMs;
  }
  return occasions;
}

/** Enough of one kind on one tree. */
export function certainOf(spoiled: readonly Spoiled[], flakeRate: number): Spoiled | undefined {
  return spoiled.findLast(({ outcome }) => {
    const times = spoiled.filter((other) => other.outcome === outcome).length;
    return times >= timesForCertainty(outcome, flakeRate);
  });
}

const LOST_BACKOFF = { baseMs: 250, capMs: 60_000 };
const RED_TIP_BACKOFF = { baseMs: 250, capMs: 600_000 };

/** After workers that were lost over a gate it is asked again more and more slowly. */
export function mayBeAskedAgain({ spoiled }: ProofState, nowMs: number): boolean {
  const last = spoiled.at(-1);
  if (last?.outcome !== 'lost') return true;
  const times = spoiled.filter(({ outcome }) => outcome === 'lost').length;
  return nowMs >= last.endedAtMs + backoffMs(LOST_BACKOFF, times);
}

/** A tip that is bad may be bad for reasons that pass: it is looked at again, more and more slowly. */
export function isTipDueAgain(spoiled: readonly Spoiled[], nowMs: number): boolean {
  const last = spoiled.at(-1);
  return last === undefined || nowMs >= last.endedAtMs + backoffMs(RED_TIP_BACKOFF, spoiled.length);
}

/** A worker that was lost, a gate that was called back: they say nothing of the tree. */
export function speaksAgainst(outcome: GateOutcome): boolean {
  return outcome !== 'lost' && outcome !== 'withdrawn';
}

/** One word is never enough, except that of a gate whose command is not there to be run. */
function timesForCertainty(outcome: GateOutcome, flakeRate: number): number {
  switch (outcome) {
    case 'red':
    case 'timeout': {
      const rate = Math.min(Math.max(flakeRate, 1e-6), 0.9);
      return Math.max(2, Math.ceil(Math.log(TOLERATED) / Math.log(rate)));
    }
    case 'tainted':
      return 2;
    case 'unproven':
      return 1;
    case 'lost':
    case 'withdrawn':
      return Number.POSITIVE_INFINITY;
    default:
      return outcome satisfies never;
  }
}

/** Not known, not running, and every gate it depends on (that is in force) has passed on the same tree; an advisory one need only have ended. */
function mayStart(proof: Proof, candidate: Candidate, snapshot: LandingSnapshot): boolean {
  const state = snapshot.proofState(proof.treeId, proof.digest);
  const { passed, live, spoiled } = state;
  if (passed || live || !mayBeAskedAgain(state, snapshot.nowMs)) return false;
  if (proof.gate.advisory && spoiled.some(({ outcome }) => speaksAgainst(outcome))) return false;
  return candidate.proofs
    .filter((other) => other.treeId === proof.treeId && proof.gate.depends_on.includes(other.gate.name))
    .every((other) => {
      const known = snapshot.proofState(other.treeId, other.digest);
      return known.passed || (other.gate.advisory && known.spoiled.some(({ outcome }) => speaksAgainst(outcome)));
    });
}
