import { type CandidateStatus, isSpoiled, isSuspect, requiredProofs, statusOf } from './candidate-status.ts';
import type { Candidate, Composition, Conflict, LandingSnapshot, QueuedPatch } from './snapshot.ts';

/** A prefix of the landing queue: the tip and its first patches, with the state of its gates. */
export interface AcceptedPrefix {
  candidate: Candidate;
  status: CandidateStatus;
}

export type Refused =
  | { patchId: string; kind: 'conflict'; conflict: Conflict }
  | { patchId: string; kind: 'no_gate' }
  | { patchId: string; kind: 'already_on_branch' };

/** The landing queue as it would land if every open gate came out green. */
export interface Line {
  accepted: AcceptedPrefix[];
  /** Suspects, and patches that are not to land. Each is tested alone on the tip while the queue goes on without it. */
  suspects: { patchId: string; onTip: Candidate; lands: boolean }[];
  refused: Refused[];
  /**
   * Patches that wait for others: they do not compose with earlier ones, follow a policy change, or were refused by the
   * remote, so that others are pushed first.
   */
  waiting: { patchId: string; blockedBy: readonly string[]; why: 'conflict' | 'policy' | 'push' }[];
  /**
   * Compositions without which the walk cannot go on, in order: the first that is lacking, and those that follow if
   * every patch of the window is accepted.
   */
  missing: (readonly string[])[];
  /** Patches that would follow the accepted ones then. */
  foreseen: string[];
  /** Patches beyond the window that were not composed on this tip yet. */
  unseen: string[];
  /** `batch`: how many prefixes precede one that went bad, when more than one of its patches may be the cause. */
  splitAfter: number | undefined;
}

/** Walks the queue once. The result depends only on the snapshot, so no state is kept between rounds. */
export function lineOf(snapshot: LandingSnapshot): Line {
  const line: Line = {
    accepted: [],
    suspects: [],
    refused: [],
    waiting: [],
    missing: [],
    foreseen: [],
    unseen: [],
    splitAfter: undefined,
  };
  const inFlight = new Set(snapshot.liveGates.flatMap(({ patchIds }) => patchIds));
  const deferred: QueuedPatch[] = [];
  for (const patch of snapshot.queue) {
    if (isLongEnough(line, snapshot)) {
      lookOnly(line, snapshot, patch);
      continue;
    }
    if (line.missing.length > 0) {
      foresee(line, snapshot, patch);
      continue;
    }
    const flies = inFlight.has(patch.patchId);
    if (!flies) for (const earlier of deferred.splice(0)) place(line, snapshot, earlier);
    // A cleared suspect rejoins behind the prefixes under test; at its old position it would invalidate them.
    if (!flies && inFlight.size > 0 && snapshot.hasRecovered(patch.patchId)) deferred.push(patch);
    else place(line, snapshot, patch);
  }
  for (const patch of deferred) place(line, snapshot, patch);
  return line;
}

/** Most patches placed in one round. More would cost more than they bring; landed patches make room. */
const MAX_LINE = 200;

function isLongEnough({ accepted, foreseen, splitAfter }: Line, snapshot: LandingSnapshot): boolean {
  if (accepted.length + foreseen.length >= MAX_LINE) return true;
  const open = accepted.filter(({ status }) => status.kind !== 'proven').length + foreseen.length;
  if (snapshot.prove === 'batch') return splitAfter !== undefined || open >= snapshot.maxBatch;
  // Candidates under test are kept even when the window has shrunk below their number.
  return open >= Math.max(snapshot.slots, snapshot.liveGates.length);
}

/**
 * Names the compositions that a patch needs, as if every patch before it were accepted. A patch that is known to stay
 * out of the prefixes is left out of them here too.
 */
function foresee(line: Line, snapshot: LandingSnapshot, { patchId, lands }: QueuedPatch): void {
  const onTip = snapshot.compose([patchId]);
  if (onTip === undefined) line.missing.push([patchId]);
  else if (refusalOf(patchId, onTip, snapshot) || isTestedApart(line, snapshot, { patchId, onTip })) return;
  if (!lands || snapshot.isPushSuspect(patchId)) return;
  line.foreseen.push(patchId);
  const prefix = [...(line.accepted.at(-1)?.candidate.patchIds ?? []), ...line.foreseen];
  if (prefix.length > 1) line.missing.push(prefix);
}

/** Beyond the window a patch is only checked against the tip itself. */
function lookOnly(line: Line, snapshot: LandingSnapshot, { patchId }: QueuedPatch): void {
  const onTip = snapshot.compose([patchId]);
  if (onTip === undefined) line.unseen.push(patchId);
  else refuse(line, snapshot, patchId, onTip);
}

function place(line: Line, snapshot: LandingSnapshot, { patchId, lands }: QueuedPatch): void {
  const onTip = line.missing.length > 0 ? undefined : snapshot.compose([patchId]);
  if (onTip === undefined) {
    foresee(line, snapshot, { patchId, lands });
    return;
  }
  if (refuse(line, snapshot, patchId, onTip) || 'conflict' in onTip) return;
  if (!lands || isTestedApart(line, snapshot, { patchId, onTip })) {
    line.suspects.push({ patchId, onTip: onTip.candidate, lands });
    return;
  }
  if (snapshot.isPushSuspect(patchId)) {
    line.waiting.push({ patchId, blockedBy: [], why: 'push' });
    return;
  }
  const last = line.accepted.at(-1)?.candidate;
  const before = last?.patchIds ?? [];
  if (last?.changesPolicy) {
    line.waiting.push({ patchId, blockedBy: before.slice(-1), why: 'policy' });
    return;
  }
  const composed = snapshot.compose([...before, patchId]);
  if (composed === undefined) {
    foresee(line, snapshot, { patchId, lands });
  } else if ('conflict' in composed || composed.candidate.treeId === composed.candidate.parentTreeId) {
    line.waiting.push({ patchId, blockedBy: before, why: 'conflict' });
  } else {
    keep(line, snapshot, composed.candidate);
  }
}

function keep(line: Line, snapshot: LandingSnapshot, candidate: Candidate): void {
  const status = statusOf(candidate, snapshot);
  const green = line.accepted.findLastIndex((prefix) => prefix.status.kind === 'proven') + 1;
  const mayBeAnother = line.accepted.length > green;
  if (snapshot.prove === 'batch' && status.kind === 'open' && mayBeAnother && isSpoiled(candidate, snapshot)) {
    line.splitAfter = line.accepted.length;
    return;
  }
  line.accepted.push({ candidate, status });
}

/** True for a suspect whose gates are not green on the tip by itself. */
function isTestedApart(
  line: Line,
  snapshot: LandingSnapshot,
  { patchId, onTip }: { patchId: string; onTip: Composition },
): boolean {
  if ('conflict' in onTip) return false;
  const isPlaced = (treeId: string): boolean =>
    line.accepted.some(({ candidate }) => candidate.treeId === treeId) ||
    line.suspects.some((other) => other.onTip.treeId === treeId);
  return isSuspect(patchId, snapshot, isPlaced) && statusOf(onTip.candidate, snapshot).kind !== 'proven';
}

/** Refuses a patch that cannot land on this tip whatever its gates say; true when it did. */
function refuse(line: Line, snapshot: LandingSnapshot, patchId: string, onTip: Composition): boolean {
  const refusal = refusalOf(patchId, onTip, snapshot);
  if (refusal !== undefined) line.refused.push(refusal);
  return refusal !== undefined;
}

function refusalOf(patchId: string, onTip: Composition, { tipTreeId }: LandingSnapshot): Refused | undefined {
  if ('conflict' in onTip) return { patchId, kind: 'conflict', conflict: onTip.conflict };
  if (onTip.candidate.treeId === tipTreeId) return { patchId, kind: 'already_on_branch' };
  return requiredProofs(onTip.candidate).length === 0 ? { patchId, kind: 'no_gate' } : undefined;
}
