import type { Candidate, Composition, Conflict, LandingSnapshot, QueuedPatch } from './snapshot.ts';
import { isDoubted, isSpoiled, requiredProofs, type Standing, standingOf } from './standing.ts';

/** A prefix of the landing queue: the tip and its first patches, with the state of its gates. */
export interface Kept {
  candidate: Candidate;
  standing: Standing;
}

export type Refused =
  | { patchId: string; kind: 'conflict'; conflict: Conflict }
  | { patchId: string; kind: 'no_gate' }
  | { patchId: string; kind: 'already_on_branch' };

/** The landing queue as it would land if every open gate came out green. */
export interface Line {
  kept: Kept[];
  /** Suspects, and patches that are not to land. Each is tested alone on the tip while the queue goes on without it. */
  apart: { patchId: string; alone: Candidate; lands: boolean }[];
  refused: Refused[];
  /**
   * Patches that wait for others: they do not compose with earlier ones, follow a policy change, or were refused by the
   * remote, so that others are pushed first.
   */
  behind: { patchId: string; behind: readonly string[]; why: 'conflict' | 'policy' | 'push' }[];
  /** Patches that must be composed before the walk can go on. */
  missing: readonly string[] | undefined;
  /** Patches beyond the window that were not composed on this tip yet. */
  unseen: string[];
  /** `batch`: how many prefixes precede one that went bad, when more than one of its patches may be the cause. */
  splitAfter: number | undefined;
}

/** Walks the queue once. The result depends only on the snapshot, so no state is kept between rounds. */
export function lineOf(snapshot: LandingSnapshot): Line {
  const line: Line = {
    kept: [],
    apart: [],
    refused: [],
    behind: [],
    missing: undefined,
    unseen: [],
    splitAfter: undefined,
  };
  const inFlight = new Set(snapshot.liveGates.flatMap(({ patchIds }) => patchIds));
  const returned: QueuedPatch[] = [];
  for (const patch of snapshot.queue) {
    if (line.missing !== undefined || isLongEnough(line, snapshot)) {
      lookOnly(line, snapshot, patch);
      continue;
    }
    const flies = inFlight.has(patch.patchId);
    if (!flies) for (const earlier of returned.splice(0)) place(line, snapshot, earlier);
    // A cleared suspect rejoins behind the prefixes under test; at its old position it would invalidate them.
    if (!flies && inFlight.size > 0 && snapshot.wasCleared(patch.patchId)) returned.push(patch);
    else place(line, snapshot, patch);
  }
  for (const patch of returned) place(line, snapshot, patch);
  return line;
}

/** Most patches placed in one round. More would cost more than they bring; landed patches make room. */
const MAX_LINE = 200;

function isLongEnough({ kept, splitAfter }: Line, snapshot: LandingSnapshot): boolean {
  if (kept.length >= MAX_LINE) return true;
  const open = kept.filter(({ standing }) => standing.kind !== 'proven').length;
  if (snapshot.prove === 'batch') return splitAfter !== undefined || open >= snapshot.maxBatch;
  // Candidates under test are kept even when the window has shrunk below their number.
  return open >= Math.max(snapshot.slots, snapshot.liveGates.length);
}

/** Beyond the window a patch is only checked against the tip itself. */
function lookOnly(line: Line, snapshot: LandingSnapshot, { patchId }: QueuedPatch): void {
  const onTip = snapshot.compose([patchId]);
  if (onTip === undefined) line.unseen.push(patchId);
  else refuse(line, snapshot, patchId, onTip);
}

function place(line: Line, snapshot: LandingSnapshot, { patchId, lands }: QueuedPatch): void {
  if (line.missing !== undefined) return;
  const onTip = snapshot.compose([patchId]);
  if (onTip === undefined) {
    line.missing = [patchId];
    return;
  }
  if (refuse(line, snapshot, patchId, onTip) || 'conflict' in onTip) return;
  const alone = onTip.candidate;
  const isPlaced = (treeId: string): boolean =>
    line.kept.some(({ candidate }) => candidate.treeId === treeId) ||
    line.apart.some((other) => other.alone.treeId === treeId);
  if (!lands || (isDoubted(patchId, snapshot, isPlaced) && standingOf(alone, snapshot).kind !== 'proven')) {
    line.apart.push({ patchId, alone, lands });
    return;
  }
  if (snapshot.isPushDoubted(patchId)) {
    line.behind.push({ patchId, behind: [], why: 'push' });
    return;
  }
  const last = line.kept.at(-1)?.candidate;
  const before = last?.patchIds ?? [];
  if (last?.changesPolicy) {
    line.behind.push({ patchId, behind: before.slice(-1), why: 'policy' });
    return;
  }
  const composed = snapshot.compose([...before, patchId]);
  if (composed === undefined) {
    line.missing = [...before, patchId];
  } else if ('conflict' in composed || composed.candidate.treeId === composed.candidate.parentTreeId) {
    line.behind.push({ patchId, behind: before, why: 'conflict' });
  } else {
    keep(line, snapshot, composed.candidate);
  }
}

function keep(line: Line, snapshot: LandingSnapshot, candidate: Candidate): void {
  const standing = standingOf(candidate, snapshot);
  const green = line.kept.findLastIndex((prefix) => prefix.standing.kind === 'proven') + 1;
  const mayBeAnother = line.kept.length > green;
  if (snapshot.prove === 'batch' && standing.kind === 'open' && mayBeAnother && isSpoiled(candidate, snapshot)) {
    line.splitAfter = line.kept.length;
    return;
  }
  line.kept.push({ candidate, standing });
}

/** Refuses a patch that cannot land on this tip whatever its gates say; true when it did. */
function refuse(line: Line, snapshot: LandingSnapshot, patchId: string, onTip: Composition): boolean {
  if ('conflict' in onTip) line.refused.push({ patchId, kind: 'conflict', conflict: onTip.conflict });
  else if (onTip.candidate.treeId === snapshot.tipTreeId) line.refused.push({ patchId, kind: 'already_on_branch' });
  else if (requiredProofs(onTip.candidate).length === 0) line.refused.push({ patchId, kind: 'no_gate' });
  else return false;
  return true;
}
