import type { Reason } from '../../contract/reasons.ts';
import type { Proof } from '../gates-in-force.ts';
import { type Line, lineOf, type Refused } from './line.ts';
import type { Candidate, Doubt, LandingSnapshot } from './snapshot.ts';
import {
  certainOf,
  isExcusedByTip,
  isSpoiled,
  isTipDueAgain,
  type Judgement,
  judgementOf,
  mayBeAskedAgain,
  requiredProofs,
  speaksAgainst,
  standingDoubts,
  standingOf,
} from './standing.ts';

export type LandingStep =
  | { kind: 'block'; patchId: string; reason: Reason; evidence: Readonly<Record<string, unknown>> }
  | { kind: 'quarantine'; patchId: string; reason: Reason; evidence: Readonly<Record<string, unknown>> }
  | { kind: 'supersede'; patchId: string }
  /** The gates of a patch that is not to land are green, so it is done. */
  | { kind: 'conclude'; patchId: string }
  /** `owner`: the patch to which the gate run is attributed. */
  | { kind: 'prove'; candidate: Candidate; proof: Proof; owner: string }
  | { kind: 'withdraw'; gateId: string }
  /** Lands all patches of the candidate in one push; every one of `proofs` must be green. */
  | { kind: 'land'; candidate: Candidate; proofs: readonly Proof[] };

export interface RedTip {
  gate: string;
  gateId: string;
  outcome: string;
}

export interface LandingPlan {
  /** Patches to compose before planning again. While it is set there are no steps. */
  missing: readonly string[] | undefined;
  steps: readonly LandingStep[];
  /** Patches that were not composed on this tip yet, in landing order. */
  unseen: readonly string[];
  /** The gate that the tip itself fails. No patch is blocked for it; only candidates that are green themselves land. */
  redTip: RedTip | null;
  line: Line;
}

/**
 * A suspect is tested in slots that the landing queue leaves free. After this many patches have landed since it was
 * last doubted, it is tested first.
 */
const PATIENCE = 20;

/** A candidate that should be under test. */
interface Trial {
  candidate: Candidate;
  owner: string;
  live: boolean;
  start: readonly Proof[];
}

/**
 * Decides the next steps from one snapshot. Pure; a wrong plan only wastes time, because each step is carried out by
 * compare-and-set. The first patches of the queue are tested as ordered prefixes, one per slot. A patch whose prefix
 * goes bad is tested alone while the queue goes on without it, and blocked only when it is bad repeatedly on trees that
 * are green without it.
 */
export function planLanding(snapshot: LandingSnapshot): LandingPlan {
  const line = lineOf(snapshot);
  const { missing, unseen } = line;
  if (missing !== undefined) return { missing, steps: [], unseen, redTip: null, line };
  const refused = line.refused.map(refuse);
  const ofLine = lineTrials(line, snapshot);
  const underTest = new Set(ofLine.slice(0, snapshot.slots).map(({ candidate }) => candidate.treeId));
  const hearings = line.apart.map((patch) => hear(patch, { snapshot, underTest }));
  const trials = inOrder(hearings, ofLine);
  return {
    missing,
    steps: [
      ...refused,
      ...land(line, snapshot),
      ...hearings.flatMap(({ verdict }) => verdict),
      ...withdrawObsolete(line, trials, snapshot),
      ...startTrials(trials, snapshot),
    ],
    unseen,
    redTip: hearings.map(({ redTip }) => redTip).find((found) => found !== null) ?? null,
    line,
  };
}

function refuse(refused: Refused): LandingStep {
  const { patchId } = refused;
  switch (refused.kind) {
    case 'conflict':
      return { patchId, ...refused.conflict };
    case 'no_gate':
      return { kind: 'block', patchId, reason: 'no_gate', evidence: {} };
    case 'already_on_branch':
      return { kind: 'supersede', patchId };
    default:
      return refused satisfies never;
  }
}

/**
 * Lands the longest proven part of the queue. `every_commit`: all prefixes before the first one that is not green.
 * `batch`: the longest green prefix, even if shorter ones are not green.
 */
function land({ kept }: Line, snapshot: LandingSnapshot): LandingStep[] {
  if (snapshot.paused) return [];
  const short = kept.slice(0, snapshot.maxBatch);
  const isGreen = ({ standing }: (typeof kept)[number]): boolean => standing.kind === 'proven';
  const firstOpen = short.findIndex((prefix) => !isGreen(prefix));
  const each = snapshot.prove === 'every_commit';
  const last = each ? (firstOpen === -1 ? short.length : firstOpen) - 1 : short.findLastIndex(isGreen);
  if (last < 0) return [];
  const { candidate } = short[last]!;
  const proven = each ? short.slice(0, last + 1) : [short[last]!];
  return [{ kind: 'land', candidate, proofs: proven.flatMap((prefix) => requiredProofs(prefix.candidate)) }];
}

interface Hearing {
  /** Runs of the tip itself, while it is not known to be green. */
  control: Trial[];
  trials: Trial[];
  /** True when `PATIENCE` patches have landed past it: it is tested before the queue. */
  urgent: boolean;
  verdict: LandingStep[];
  redTip: RedTip | null;
}

const NOTHING = { control: [], trials: [], urgent: false, redTip: null } as const satisfies Partial<Hearing>;

/** Tests a suspect alone on the tip until its runs decide, and the tip itself while that is not known to be green. */
function hear(
  { patchId, alone, lands }: Line['apart'][number],
  { snapshot, underTest }: { snapshot: LandingSnapshot; underTest: ReadonlySet<string> },
): Hearing {
  const judgement = judgementOf(patchId, { snapshot, underTest });
  if (judgement.kind === 'bad') {
    const { doubt, times } = judgement;
    const evidence = { gate: doubt.gate.name, gate_id: doubt.gateId, pinned: doubt.pinned, times };
    return { ...NOTHING, verdict: [{ kind: 'block', patchId, reason: `gate_${doubt.outcome}`, evidence }] };
  }
  const standing = standingOf(alone, snapshot);
  if (standing.kind === 'proven') {
    return { ...NOTHING, verdict: lands ? [] : [{ kind: 'conclude', patchId }] };
  }
  const { control, redTip } = controlOf(patchId, { judgement, snapshot });
  // A suspect has one run at a time, even if that run began on an older tip.
  const elsewhere = snapshot.liveGates.some(({ patchIds }) => patchIds.length === 1 && patchIds[0] === patchId);
  const waits = redTip !== null || judgement.kind !== 'unclear' || (elsewhere && !standing.live);
  const start = waits ? [] : standing.start;
  const trial = { candidate: alone, owner: patchId, live: standing.live || elsewhere, start };
  return { control, trials: [trial], urgent: snapshot.overtakenBy(patchId) >= PATIENCE, verdict: [], redTip };
}

/**
 * Tests the tip under the gate that went bad with a suspect, unless the tip is known to be still green there. If the
 * tip is bad as well, the suspect is not the cause.
 */
function controlOf(
  owner: string,
  { judgement, snapshot }: { judgement: Judgement; snapshot: LandingSnapshot },
): { control: Trial[]; redTip: RedTip | null } {
  const { tipTreeId, nowMs } = snapshot;
  const isUnknown = (one: Doubt): boolean =>
    isExcusedByTip(one, snapshot) && one.restTreeId === tipTreeId && !snapshot.proofState(tipTreeId, one.digest).passed;
  const doubt = judgement.kind === 'unconfirmed' ? judgement.doubt : standingDoubts(owner, snapshot).find(isUnknown);
  if (doubt === undefined) return { control: [], redTip: null };
  const state = snapshot.proofState(tipTreeId, doubt.digest);
  const { greenAtMs } = snapshot.health(doubt.digest);
  const since = state.spoiled.filter(({ outcome, endedAtMs }) => speaksAgainst(outcome) && endedAtMs > greenAtMs);
  const certain = certainOf(since, snapshot.flakeRate);
  const due = certain === undefined ? mayBeAskedAgain(state, nowMs) : isTipDueAgain(since, nowMs);
  const proof: Proof = { gate: doubt.gate, digest: doubt.digest, treeId: tipTreeId, pinned: false };
  const tip = { patchIds: [], commits: [], treeId: tipTreeId, parentTreeId: tipTreeId, changesPolicy: false };
  const candidate = { ...tip, proofs: [proof] };
  return {
    control: [{ candidate, owner, live: state.live, start: state.live || !due ? [] : [proof] }],
    redTip: certain === undefined ? null : { gate: doubt.gate.name, gateId: certain.gateId, outcome: certain.outcome },
  };
}

/** Returns the prefixes of the landing queue that should be under test. */
function lineTrials(line: Line, snapshot: LandingSnapshot): Trial[] {
  const wanted =
    snapshot.prove === 'every_commit'
      ? line.kept
      : positionsToTest(line, snapshot)
          .map((position) => line.kept[position - 1]!)
          .filter((prefix) => prefix !== undefined);
  return wanted.flatMap(({ candidate, standing }): Trial[] => {
    if (standing.kind === 'proven' || isMoot(candidate, line, snapshot)) return [];
    return [{ candidate, owner: candidate.patchIds.at(-1)!, ...standing }];
  });
}

/** True when a prefix went bad before the one ahead of it is proven: another run could not tell which patch is bad. */
function isMoot(candidate: Candidate, { kept }: Line, snapshot: LandingSnapshot): boolean {
  if (snapshot.prove === 'batch' || !isSpoiled(candidate, snapshot)) return false;
  const before = kept.find((prefix) => prefix.candidate.treeId === candidate.parentTreeId);
  return before !== undefined && before.standing.kind !== 'proven';
}

/**
 * Chooses the prefixes to test with `batch`: the longest first, then repeatedly the middle of the widest gap. Once a
 * prefix went bad, it bisects between the last green prefix and the bad one to find the patch that broke it.
 */
function positionsToTest({ kept, splitAfter }: Line, snapshot: LandingSnapshot): number[] {
  const isOpen = (position: number): boolean => kept[position - 1]!.standing.kind === 'open';
  const green = kept.findLastIndex(({ standing }) => standing.kind === 'proven') + 1;
  const end = splitAfter === undefined ? kept.length : splitAfter + 1;
  const isLive = (position: number): boolean => {
    const { standing } = kept[position - 1]!;
    return standing.kind === 'open' && standing.live;
  };
  const between = Array.from({ length: Math.max(0, kept.length - green) }, (_, i) => green + 1 + i);
  const chosen = between.filter(isLive);
  if (splitAfter === undefined && end > green && !chosen.includes(end) && isOpen(end)) chosen.push(end);
  while (chosen.length < snapshot.slots) {
    const middle = widestGap([green, ...chosen, ...(splitAfter === undefined ? [] : [end])]);
    if (middle === undefined) break;
    chosen.push(middle);
  }
  return chosen.filter(isOpen);
}

function widestGap(positions: readonly number[]): number | undefined {
  const sorted = positions.toSorted((a, b) => a - b);
  let best: { middle: number; width: number } | undefined;
  for (const [index, left] of sorted.slice(0, -1).entries()) {
    const width = sorted[index + 1]! - left;
    if (width > 1 && width > (best?.width ?? 0)) best = { middle: left + Math.floor(width / 2), width };
  }
  return best?.middle;
}

/** Schedules queue prefixes before isolated suspects: most are really bad, and no other patch needs their result. */
function inOrder(hearings: readonly Hearing[], ofLine: readonly Trial[]): Trial[] {
  const urgent = hearings.filter((hearing) => hearing.urgent);
  const patient = hearings.filter((hearing) => !hearing.urgent);
  return [
    ...hearings.flatMap(({ control }) => control),
    ...urgent.flatMap(({ trials }) => trials),
    ...ofLine,
    ...patient.flatMap(({ trials }) => trials),
  ];
}

function startTrials(trials: readonly Trial[], snapshot: LandingSnapshot): LandingStep[] {
  let free = snapshot.slots - trials.filter(({ live }) => live).length;
  const asked = new Set<string>();
  return trials.flatMap(({ candidate, owner, live, start }): LandingStep[] => {
    const fresh = start.filter(({ treeId, digest }) => !asked.has(`${treeId} ${digest}`));
    if (fresh.length === 0 || (!live && free <= 0)) return [];
    if (!live) free -= 1;
    for (const { treeId, digest } of fresh) asked.add(`${treeId} ${digest}`);
    return fresh.map((proof) => ({ kind: 'prove', candidate, proof, owner }));
  });
}

/** Withdraws gate runs whose result is no longer needed. Running advisory gates are left to finish. */
function withdrawObsolete(line: Line, trials: readonly Trial[], snapshot: LandingSnapshot): LandingStep[] {
  const apart = new Set(line.apart.map(({ patchId }) => patchId));
  const wanted = new Set(
    [...line.kept, ...trials]
      .map(({ candidate }) => candidate)
      .flatMap(({ proofs }) => proofs)
      .map(({ treeId, digest }) => `${treeId} ${digest}`),
  );
  return (
    snapshot.liveGates
      .filter(({ treeId, digest, advisory }) => !advisory && !wanted.has(`${treeId} ${digest}`))
      // Keeps a run of a suspect alone on an older tip, because its result still counts.
      .filter(({ patchIds }) => !(patchIds.length === 1 && apart.has(patchIds[0]!)))
      .map(({ gateId }) => ({ kind: 'withdraw', gateId }))
  );
}
