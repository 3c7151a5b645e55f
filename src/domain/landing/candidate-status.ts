import type { GateOutcome } from '../../contract/states.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Proof } from '../gates-in-force.ts';
import type { Candidate, LandingSnapshot, ProofState, Spoiled, Suspicion } from './snapshot.ts';

export type CandidateStatus =
  /** Every required gate is green. */
  | { kind: 'proven' }
  /** `start`: the gates that may start now. */
  | { kind: 'open'; live: boolean; start: Proof[] };

/** Outcomes in which the gate itself failed to judge the tree. They block a patch even if the tip does no better. */
const PROVES_NOTHING: readonly GateOutcome[] = ['unproven', 'tainted'];
/** Accepted probability of blocking a good patch because of flaky gates. */
const TOLERATED = 1e-4;

export function requiredProofs(candidate: Candidate): Proof[] {
  return candidate.proofs.filter(({ gate }) => !gate.advisory);
}

export function statusOf(candidate: Candidate, snapshot: LandingSnapshot): CandidateStatus {
  const states = requiredProofs(candidate).map((proof) => snapshot.proofState(proof.treeId, proof.digest));
  if (states.every(({ passed }) => passed)) return { kind: 'proven' };
  const live = states.some((state) => state.live);
  return { kind: 'open', live, start: candidate.proofs.filter((proof) => mayStart(proof, candidate, snapshot)) };
}

/** True when a required gate went bad on its tree and is neither running nor due to run again. */
export function isSpoiled(candidate: Candidate, snapshot: LandingSnapshot): boolean {
  return requiredProofs(candidate).some(({ treeId, digest }) => {
    const { passed, undecided = false, live, spoiled } = snapshot.proofState(treeId, digest);
    return !passed && !undecided && !live && spoiled.some(({ outcome }) => countsAgainst(outcome));
  });
}

/**
 * True when a prefix went bad with the patch last, and the rest of that prefix is green, under test, or the tip. A rest
 * under test counts only if it is placed before the patch. Otherwise two patches that went bad behind each other would
 * be set apart in turn, each because the other is tested, and neither would be tested to its end.
 */
export function isSuspect(patchId: string, snapshot: LandingSnapshot, isPlaced: (treeId: string) => boolean): boolean {
  const lost = lostWithIt(patchId, snapshot);
  const suspicions = [...countedSuspicions(patchId, snapshot), ...(lost.length >= LOST_BEFORE_APART ? lost : [])];
  return suspicions.some(({ last, restTreeId, digest }) => {
    const { passed, live } = snapshot.proofState(restTreeId, digest);
    return last && (passed || (live && isPlaced(restTreeId)) || restTreeId === snapshot.tipTreeId);
  });
}

/** Returns the doubts that still count, without those of a time in which the tip itself was bad, once that is over. */
export function countedSuspicions(patchId: string, snapshot: LandingSnapshot): Suspicion[] {
  return snapshot.suspicions(patchId).filter(({ outcome, digest, startedAtMs }) => {
    return countsAgainst(outcome) && startedAtMs >= badTimeUntilMs(snapshot.health(digest));
  });
}

/** Returns when the last bad time of the tip ended, if it is over, else 0. Runs begun before do not count. */
function badTimeUntilMs({ greenAtMs, badTipAtMs }: { greenAtMs: number; badTipAtMs: number }): number {
  return badTipAtMs < greenAtMs ? badTipAtMs : 0;
}

/** After this many runs lost with the patch last, it is tested apart, so that the landing queue goes on without it. */
const LOST_BEFORE_APART = 2;
/** This many lost runs, with green runs of other candidates between them, are caused by what the patch contains. */
export const LOST_FOR_CERTAINTY = 8;

function lostWithIt(patchId: string, snapshot: LandingSnapshot): Suspicion[] {
  return snapshot.suspicions(patchId).filter(({ outcome, last }) => outcome === 'lost' && last);
}

export type Judgement =
  /** Bad too often for flakes, each time with a green rest, while other candidates were green. */
  | { kind: 'bad'; suspicion: Suspicion; times: number }
  /** Bad often enough, but nothing was green since: the machines may be the cause. */
  | { kind: 'unconfirmed'; suspicion: Suspicion }
  /** Bad often enough once the rests that the queue tests anyway come out green. */
  | { kind: 'pending' }
  | { kind: 'unclear' };

export function judgementOf(
  patchId: string,
  { snapshot, underTest }: { snapshot: LandingSnapshot; underTest: ReadonlySet<string> },
): Judgement {
  const lost = lostWithIt(patchId, snapshot).filter(({ amongGreen }) => amongGreen);
  if (lost.length >= LOST_FOR_CERTAINTY) return { kind: 'bad', suspicion: lost.at(-1)!, times: lost.length };
  const suspicions = countedSuspicions(patchId, snapshot);
  const rest = ({ restTreeId, digest }: Suspicion) => snapshot.proofState(restTreeId, digest);
  const solid = suspicions.filter(
    (suspicion) => rest(suspicion).passed || (suspicion.alone && !mayBeExcusedByTip(suspicion, snapshot)),
  );
  const found = enoughOf(solid, snapshot.flakeRate);
  if (found !== undefined) {
    const excused = mayBeExcusedByTip(found.suspicion, snapshot);
    const greenSince = snapshot.health(found.suspicion.digest).greenAtMs > found.suspicion.startedAtMs;
    return excused && !greenSince ? { kind: 'unconfirmed', suspicion: found.suspicion } : { kind: 'bad', ...found };
  }
  const likely = suspicions.filter((suspicion) => solid.includes(suspicion) || underTest.has(suspicion.restTreeId));
  return { kind: enoughOf(likely, snapshot.flakeRate) === undefined ? 'unclear' : 'pending' };
}

/** True when a bad tip excuses a patch: not if the gate failed to judge, nor for an extra gate of a run. */
export function mayBeExcusedByTip({ outcome, digest }: Suspicion, snapshot: LandingSnapshot): boolean {
  return !PROVES_NOTHING.includes(outcome) && snapshot.isOfBranch(digest);
}

/**
 * Finds a gate and outcome that occurred often enough, and on two occasions unless one run is enough. Runs that overlap
 * in time are one occasion, because side by side they meet the same trouble.
 */
function enoughOf(
  suspicions: readonly Suspicion[],
  flakeRate: number,
): { suspicion: Suspicion; times: number } | undefined {
  for (const suspicion of suspicions.toReversed()) {
    const { digest, outcome } = suspicion;
    const alike = suspicions.filter((other) => other.digest === digest && other.outcome === outcome);
    const needed = timesForCertainty(outcome, flakeRate);
    if (alike.length >= needed && occasionsOf(alike) >= Math.min(2, needed)) return { suspicion, times: alike.length };
  }
  return undefined;
}

function occasionsOf(suspicions: readonly Suspicion[]): number {
  let [occasions, until] = [0, Number.NEGATIVE_INFINITY];
  for (const { startedAtMs, endedAtMs } of suspicions.toSorted((a, b) => a.endedAtMs - b.endedAtMs)) {
    if (startedAtMs < until) continue;
    occasions += 1;
    until = endedAtMs;
  }
  return occasions;
}

/** Returns the newest bad run on a tree whose outcome occurred there often enough to be certain. */
export function certainOf(spoiled: readonly Spoiled[], flakeRate: number): Spoiled | undefined {
  return spoiled.findLast(({ outcome }) => {
    const times = spoiled.filter((other) => other.outcome === outcome).length;
    return times >= timesForCertainty(outcome, flakeRate);
  });
}

const LOST_BACKOFF = { baseMs: 250, capMs: 60_000 };
const RED_TIP_BACKOFF = { baseMs: 250, capMs: 600_000 };

/** False during the backoff after lost runs of a gate, which doubles with each one. */
export function mayBeAskedAgain({ spoiled }: ProofState, nowMs: number): boolean {
  const last = spoiled.at(-1);
  if (last?.outcome !== 'lost') return true;
  const times = spoiled.filter(({ outcome }) => outcome === 'lost').length;
  return nowMs >= last.endedAtMs + backoffMs(LOST_BACKOFF, times);
}

/** A bad tip is tested again, because the cause may be transient; the delay doubles with each bad run. */
export function isTipDueAgain(spoiled: readonly Spoiled[], nowMs: number): boolean {
  const last = spoiled.at(-1);
  return last === undefined || nowMs >= last.endedAtMs + backoffMs(RED_TIP_BACKOFF, spoiled.length);
}

/** False for `lost` and `withdrawn`: a lost worker or a withdrawn run says nothing about the tree. */
export function countsAgainst(outcome: GateOutcome): boolean {
  return outcome !== 'lost' && outcome !== 'withdrawn';
}

/**
 * Returns how many bad runs are needed for certainty. One is enough only for `unproven`: the gate's command could not
 * run, or the candidate could not be rebuilt.
 */
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

/**
 * True when the gate is neither known nor running on the tree, and every gate in force that it depends on has passed
 * there. An advisory dependency need only have ended.
 */
function mayStart(proof: Proof, candidate: Candidate, snapshot: LandingSnapshot): boolean {
  const state = snapshot.proofState(proof.treeId, proof.digest);
  const { passed, live, spoiled } = state;
  if (passed || live || !mayBeAskedAgain(state, snapshot.nowMs)) return false;
  if (proof.gate.advisory && spoiled.some(({ outcome }) => countsAgainst(outcome))) return false;
  return candidate.proofs
    .filter((other) => other.treeId === proof.treeId && proof.gate.depends_on.includes(other.gate.name))
    .every((other) => {
      const known = snapshot.proofState(other.treeId, other.digest);
      return known.passed || (other.gate.advisory && known.spoiled.some(({ outcome }) => countsAgainst(outcome)));
    });
}
