import type { Reason } from '../../contract/reasons.ts';
import type { Proof } from '../gates-in-force.ts';
import {
  certainOf,
  countedSuspicions,
  countsAgainst,
  isSpoiled,
  isTipDueAgain,
  type Judgement,
  judgementOf,
  mayBeAskedAgain,
  mayBeExcusedByTip,
  requiredProofs,
  statusOf,
} from './candidate-status.ts';
import { type Line, lineOf, type Refused } from './line.ts';
import type { Candidate, LandingSnapshot, Suspicion } from './snapshot.ts';

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
  /** Compositions to make in order before planning again. While there are any, there are no steps. */
  missing: readonly (readonly string[])[];
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
interface TestRun {
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
  if (missing.length > 0) return { missing, steps: [], unseen, redTip: null, line };
  const refused = line.refused.map(refuse);
  const ofQueue = queueTestRuns(line, snapshot);
  const underTest = new Set(ofQueue.slice(0, snapshot.slots).map(({ candidate }) => candidate.treeId));
  const suspectPlans = line.suspects.map((patch) => planSuspect(patch, { snapshot, underTest }));
  const testRuns = inOrder(suspectPlans, ofQueue);
  return {
    missing,
    steps: [
      ...refused,
      ...land(line, snapshot),
      ...suspectPlans.flatMap(({ decisions }) => decisions),
      ...withdrawObsolete(line, testRuns, snapshot),
      ...startTestRuns(testRuns, snapshot),
    ],
    unseen,
    redTip: suspectPlans.map(({ redTip }) => redTip).find((found) => found !== null) ?? null,
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
function land({ accepted }: Line, snapshot: LandingSnapshot): LandingStep[] {
  if (snapshot.paused) return [];
  const short = accepted.slice(0, snapshot.maxBatch);
  const isGreen = ({ status }: (typeof accepted)[number]): boolean => status.kind === 'proven';
  const firstOpen = short.findIndex((prefix) => !isGreen(prefix));
  const each = snapshot.prove === 'every_commit';
  const last = each ? (firstOpen === -1 ? short.length : firstOpen) - 1 : short.findLastIndex(isGreen);
  if (last < 0) return [];
  const { candidate } = short[last]!;
  const proven = each ? short.slice(0, last + 1) : [short[last]!];
  return [{ kind: 'land', candidate, proofs: proven.flatMap((prefix) => requiredProofs(prefix.candidate)) }];
}

interface SuspectPlan {
  /** Runs of the tip itself, while it is not known to be green. */
  control: TestRun[];
  testRuns: TestRun[];
  /** True when `PATIENCE` patches have landed past it: it is tested before the queue. */
  urgent: boolean;
  decisions: LandingStep[];
  redTip: RedTip | null;
}

const NOTHING = { control: [], testRuns: [], urgent: false, redTip: null } as const satisfies Partial<SuspectPlan>;

/** Tests a suspect alone on the tip until its runs decide, and the tip itself while that is not known to be green. */
function planSuspect(
  { patchId, onTip, lands }: Line['suspects'][number],
  { snapshot, underTest }: { snapshot: LandingSnapshot; underTest: ReadonlySet<string> },
): SuspectPlan {
  const judgement = judgementOf(patchId, { snapshot, underTest });
  if (judgement.kind === 'bad') {
    const { suspicion, times } = judgement;
    const evidence = { gate: suspicion.gate.name, gate_id: suspicion.gateId, pinned: suspicion.pinned, times };
    return { ...NOTHING, decisions: [{ kind: 'block', patchId, reason: `gate_${suspicion.outcome}`, evidence }] };
  }
  const status = statusOf(onTip, snapshot);
  if (status.kind === 'proven') {
    return { ...NOTHING, decisions: lands ? [] : [{ kind: 'conclude', patchId }] };
  }
  const { control, redTip } = controlOf(patchId, { judgement, snapshot });
  // A suspect has one run at a time, even if that run began on an older tip.
  const elsewhere = snapshot.liveGates.some(({ patchIds }) => patchIds.length === 1 && patchIds[0] === patchId);
  const waits = redTip !== null || judgement.kind !== 'unclear' || (elsewhere && !status.live);
  const start = waits ? [] : status.start;
  const testRun = { candidate: onTip, owner: patchId, live: status.live || elsewhere, start };
  return { control, testRuns: [testRun], urgent: snapshot.overtakenBy(patchId) >= PATIENCE, decisions: [], redTip };
}

/**
 * Tests the tip under the gate that went bad with a suspect, unless the tip is known to be still green there. If the
 * tip is bad as well, the suspect is not the cause.
 */
function controlOf(
  owner: string,
  { judgement, snapshot }: { judgement: Judgement; snapshot: LandingSnapshot },
): { control: TestRun[]; redTip: RedTip | null } {
  const { tipTreeId, nowMs } = snapshot;
  const isUnknown = (one: Suspicion): boolean =>
    mayBeExcusedByTip(one, snapshot) &&
    one.restTreeId === tipTreeId &&
    !snapshot.proofState(tipTreeId, one.digest).passed;
  const suspicion =
    judgement.kind === 'unconfirmed' ? judgement.suspicion : countedSuspicions(owner, snapshot).find(isUnknown);
  if (suspicion === undefined) return { control: [], redTip: null };
  const state = snapshot.proofState(tipTreeId, suspicion.digest);
  const { greenAtMs } = snapshot.health(suspicion.digest);
  const since = state.spoiled.filter(({ outcome, endedAtMs }) => countsAgainst(outcome) && endedAtMs > greenAtMs);
  const certain = certainOf(since, snapshot.flakeRate);
  const due = certain === undefined ? mayBeAskedAgain(state, nowMs) : isTipDueAgain(since, nowMs);
  const proof: Proof = { gate: suspicion.gate, digest: suspicion.digest, treeId: tipTreeId, pinned: false };
  const tip = { patchIds: [], commits: [], treeId: tipTreeId, parentTreeId: tipTreeId, changesPolicy: false };
  const candidate = { ...tip, proofs: [proof] };
  return {
    control: [{ candidate, owner, live: state.live, start: state.live || !due ? [] : [proof] }],
    redTip:
      certain === undefined ? null : { gate: suspicion.gate.name, gateId: certain.gateId, outcome: certain.outcome },
  };
}

/** Returns the prefixes of the landing queue that should be under test. */
function queueTestRuns(line: Line, snapshot: LandingSnapshot): TestRun[] {
  const wanted =
    snapshot.prove === 'every_commit'
      ? line.accepted
      : positionsToTest(line, snapshot)
          .map((position) => line.accepted[position - 1]!)
          .filter((prefix) => prefix !== undefined);
  return wanted.flatMap(({ candidate, status }): TestRun[] => {
    if (status.kind === 'proven' || isMoot(candidate, line, snapshot)) return [];
    return [{ candidate, owner: candidate.patchIds.at(-1)!, ...status }];
  });
}

/** True when a prefix went bad before the one ahead of it is proven: another run could not tell which patch is bad. */
function isMoot(candidate: Candidate, { accepted }: Line, snapshot: LandingSnapshot): boolean {
  if (snapshot.prove === 'batch' || !isSpoiled(candidate, snapshot)) return false;
  const before = accepted.find((prefix) => prefix.candidate.treeId === candidate.parentTreeId);
  return before !== undefined && before.status.kind !== 'proven';
}

/**
 * Chooses the prefixes to test with `batch`: the longest first, then repeatedly the middle of the widest gap. Once a
 * prefix went bad, it bisects between the last green prefix and the bad one to find the patch that broke it.
 */
function positionsToTest({ accepted, splitAfter }: Line, snapshot: LandingSnapshot): number[] {
  const isOpen = (position: number): boolean => accepted[position - 1]!.status.kind === 'open';
  const green = accepted.findLastIndex(({ status }) => status.kind === 'proven') + 1;
  const end = splitAfter === undefined ? accepted.length : splitAfter + 1;
  const isLive = (position: number): boolean => {
    const { status } = accepted[position - 1]!;
    return status.kind === 'open' && status.live;
  };
  const between = Array.from({ length: Math.max(0, accepted.length - green) }, (_, i) => green + 1 + i);
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
function inOrder(suspectPlans: readonly SuspectPlan[], ofQueue: readonly TestRun[]): TestRun[] {
  const urgent = suspectPlans.filter((plan) => plan.urgent);
  const patient = suspectPlans.filter((plan) => !plan.urgent);
  return [
    ...suspectPlans.flatMap(({ control }) => control),
    ...urgent.flatMap(({ testRuns }) => testRuns),
    ...ofQueue,
    ...patient.flatMap(({ testRuns }) => testRuns),
  ];
}

function startTestRuns(testRuns: readonly TestRun[], snapshot: LandingSnapshot): LandingStep[] {
  let free = snapshot.slots - testRuns.filter(({ live }) => live).length;
  const asked = new Set<string>();
  return testRuns.flatMap(({ candidate, owner, live, start }): LandingStep[] => {
    const fresh = start.filter(({ treeId, digest }) => !asked.has(`${treeId} ${digest}`));
    if (fresh.length === 0 || (!live && free <= 0)) return [];
    if (!live) free -= 1;
    for (const { treeId, digest } of fresh) asked.add(`${treeId} ${digest}`);
    return fresh.map((proof) => ({ kind: 'prove', candidate, proof, owner }));
  });
}

/** Withdraws gate runs whose result is no longer needed. Running advisory gates are left to finish. */
function withdrawObsolete(line: Line, testRuns: readonly TestRun[], snapshot: LandingSnapshot): LandingStep[] {
  const suspects = new Set(line.suspects.map(({ patchId }) => patchId));
  const wanted = new Set(
    [...line.accepted, ...testRuns]
      .map(({ candidate }) => candidate)
      .flatMap(({ proofs }) => proofs)
      .map(({ treeId, digest }) => `${treeId} ${digest}`),
  );
  return (
    snapshot.liveGates
      .filter(({ treeId, digest, advisory }) => !advisory && !wanted.has(`${treeId} ${digest}`))
      // Keeps a run of a suspect alone on an older tip, because its result still counts.
      .filter(({ patchIds }) => !(patchIds.length === 1 && suspects.has(patchIds[0]!)))
      .map(({ gateId }) => ({ kind: 'withdraw', gateId }))
  );
}
