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
  | { kind: 'block'; patchId: string; reason: string; evidence: Readonly<Record<string, unknown>> }
  | { kind: 'quarantine'; patchId: string; reason: string; evidence: Readonly<Record<string, unknown>> }
  | { kind: 'supersede'; patchId: string }
  /** Its gates are green and it was not to land: it is done. */
  | { kind: 'conclude'; patchId: string }
  /** `owner`: the patch on whose account it runs. */
  | { kind: 'prove'; candidate: Candidate; proof: Proof; owner: string }
  | { kind: 'withdraw'; gateId: string }
  /** All of its patches in one push; `proofs` must all be green. */
  | { kind: 'land'; candidate: Candidate; proofs: readonly Proof[] };

export interface RedTip {
  gate: string;
  gateId: string;
  outcome: string;
}

export interface LandingPlan {
  /** A composition without which no more can be decided: make it and plan again before carrying anything out. */
  missing: readonly string[] | undefined;
  steps: readonly LandingStep[];
  /** Patches that nobody has looked at on this tip, first ones first. */
  unseen: readonly string[];
  /** The tip itself fails this gate: nobody is blamed for it, and only what is green on its own tree lands. */
  redTip: RedTip | null;
  line: Line;
}

/** A doubted patch is tried when the line leaves a slot free, but when so many have landed past it, it goes first. */
const PATIENCE = 20;

/** A candidate that should be under test. */
interface Trial {
  candidate: Candidate;
  owner: string;
  live: boolean;
  start: readonly Proof[];
}

/**
 * Decides what to do next from one snapshot. Pure: a wrong plan wastes time and lands nothing, for each step is carried
 * out by compare-and-set. The first patches of the queue are under test as ordered prefixes, as many as there are slots. A
 * patch whose prefix goes bad is tried alone while the line goes on without it, and is blamed only when it is bad again and
 * again on trees that are green without it.
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

/** `every_commit`: as far as each prefix is green. `batch`: the longest green prefix, whatever the shorter ones say. */
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
  /** The tip itself, when nobody knows that it is green. */
  control: Trial[];
  trials: Trial[];
  /** Many have gone past it: it goes first. */
  urgent: boolean;
  verdict: LandingStep[];
  redTip: RedTip | null;
}

const NOTHING = { control: [], trials: [], urgent: false, redTip: null } as const satisfies Partial<Hearing>;

/** Tries a patch alone on the tip, again and again until it is clear what it is; and the tip itself if nobody knows that it is green. */
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
  // One run of it at a time, on whatever tip it began.
  const elsewhere = snapshot.liveGates.some(({ patchIds }) => patchIds.length === 1 && patchIds[0] === patchId);
  const waits = redTip !== null || judgement.kind !== 'unclear' || (elsewhere && !standing.live);
  const start = waits ? [] : standing.start;
  const trial = { candidate: alone, owner: patchId, live: standing.live || elsewhere, start };
  return { control, trials: [trial], urgent: snapshot.overtakenBy(patchId) >= PATIENCE, verdict: [], redTip };
}

/**
 * The tip under the gate that spoke against a patch, when it is not known to be green, or not to be so still. Bad there as
 * well, the patch is not to blame.
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

/** The prefixes of the line that should be under test. */
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

/** It went bad, and what stands before it is not proven yet: until that is known, another run would tell nothing. */
function isMoot(candidate: Candidate, { kept }: Line, snapshot: LandingSnapshot): boolean {
  if (snapshot.prove === 'batch' || !isSpoiled(candidate, snapshot)) return false;
  const before = kept.find((prefix) => prefix.candidate.treeId === candidate.parentTreeId);
  return before !== undefined && before.standing.kind !== 'proven';
}

/**
 * `batch`: the longest prefix first, then the middle of the widest gap, again and again. Once a prefix went bad, the ones
 * between the last green one and it: they tell which patch it was.
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

/** Schedules prefixes of the queue before isolated suspects: most suspects are bad, and no other patch depends on their result. */
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
      // A doubted patch alone on a tip that has moved: its word still counts.
      .filter(({ patchIds }) => !(patchIds.length === 1 && apart.has(patchIds[0]!)))
      .map(({ gateId }) => ({ kind: 'withdraw', gateId }))
  );
}
