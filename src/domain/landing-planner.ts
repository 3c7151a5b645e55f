import type { Proof } from './gates-in-force.ts';
import type { GateOutcome } from './lifecycles/gate.ts';

/** A prefix of the queue composed on the tip: `patchIds` in landing order, the last one is judged here. */
export interface Candidate {
  patchIds: readonly string[];
  commit: string;
  treeId: string;
  parentTreeId: string;
  proofs: readonly Proof[];
}

/** A patch that does not compose on what stands before it, or that would touch there what it may not. */
export interface Conflict {
  patchId: string;
  reason: string;
  evidence: Readonly<Record<string, unknown>>;
}

/** What is known of one (tree, digest). */
export interface ProofState {
  verdict?: { passed: boolean; gateId: string };
  live: boolean;
  /** Executions since the patch was staged that ended and proved nothing. */
  unproven: readonly { gateId: string; outcome: Exclude<GateOutcome, 'red'> }[];
}

export interface LandingSnapshot {
  paused: boolean;
  /** Composed prefixes in queue order; conflicts stand apart. */
  line: readonly Candidate[];
  conflicts: readonly Conflict[];
  proofState: (treeId: string, digest: string) => ProofState;
  /** Live gate executions of the target. */
  liveGates: readonly { gateId: string; treeId: string; digest: string }[];
}

export type LandingStep =
  | { kind: 'block'; patchId: string; reason: string; evidence: Readonly<Record<string, unknown>> }
  | { kind: 'supersede'; patchId: string; reason: 'already_on_branch' }
  | { kind: 'prove'; candidate: Candidate; proof: Proof }
  | { kind: 'withdraw'; gateId: string }
  | { kind: 'land'; candidate: Candidate };

/** How often an execution that proved nothing is tried again before the patch is blocked. */
const TRIES = { timeout: 2, lost: 5, tainted: 2, unproven: 1, withdrawn: Number.POSITIVE_INFINITY } as const;

/**
 * Decides what to do next from one snapshot. Pure: a wrong plan wastes time and lands nothing, for each step is carried
 * out by compare-and-set. First policy: one candidate at a time, the head of the queue.
 */
export function planLanding(snapshot: LandingSnapshot): LandingStep[] {
  const blocked = snapshot.conflicts.map((conflict): LandingStep => ({ kind: 'block', ...conflict }));
  const head = snapshot.line[0];
  if (head === undefined) return [...blocked, ...withdrawObsolete(snapshot, [])];
  return [...blocked, ...withdrawObsolete(snapshot, head.proofs), ...judge(head, snapshot)];
}

function judge(candidate: Candidate, snapshot: LandingSnapshot): LandingStep[] {
  const patchId = candidate.patchIds.at(-1)!;
  if (candidate.treeId === candidate.parentTreeId) {
    return [{ kind: 'supersede', patchId, reason: 'already_on_branch' }];
  }
  const required = candidate.proofs.filter(({ gate }) => !gate.advisory);
  if (required.length === 0) return [{ kind: 'block', patchId, reason: 'no_gate', evidence: {} }];
  const refused = required.map((proof) => refusal(proof, snapshot)).find((found) => found !== undefined);
  if (refused !== undefined) return [{ kind: 'block', patchId, ...refused }];
  if (required.every((proof) => isProven(proof, snapshot))) {
    return snapshot.paused ? [] : [{ kind: 'land', candidate }];
  }
  return candidate.proofs
    .filter((proof) => refusal(proof, snapshot) === undefined && mayStart(proof, candidate, snapshot))
    .map((proof) => ({ kind: 'prove', candidate, proof }));
}

function refusal(
  { treeId, digest, gate, pinned }: Proof,
  snapshot: LandingSnapshot,
): { reason: string; evidence: Record<string, unknown> } | undefined {
  const { verdict, unproven } = snapshot.proofState(treeId, digest);
  if (verdict?.passed === true) return undefined;
  if (verdict !== undefined) {
    return { reason: 'gate_red', evidence: { gate: gate.name, gate_id: verdict.gateId, pinned } };
  }
  for (const { gateId, outcome } of unproven) {
    const times = unproven.filter((execution) => execution.outcome === outcome).length;
    if (times >= TRIES[outcome]) {
      return { reason: `gate_${outcome}`, evidence: { gate: gate.name, gate_id: gateId, pinned, times } };
    }
  }
  return undefined;
}

function isProven({ treeId, digest }: Proof, snapshot: LandingSnapshot): boolean {
  return snapshot.proofState(treeId, digest).verdict?.passed === true;
}

/** Not known, not running, and every gate it depends on (that is in force) has passed on the same tree; an advisory one need only have ended. */
function mayStart(proof: Proof, candidate: Candidate, snapshot: LandingSnapshot): boolean {
  const state = snapshot.proofState(proof.treeId, proof.digest);
  if (state.verdict !== undefined || state.live) return false;
  return candidate.proofs
    .filter((other) => other.treeId === proof.treeId && proof.gate.depends_on.includes(other.gate.name))
    .every((other) => isProven(other, snapshot) || (other.gate.advisory && refusal(other, snapshot) !== undefined));
}

function withdrawObsolete(snapshot: LandingSnapshot, wanted: readonly Proof[]): LandingStep[] {
  return snapshot.liveGates
    .filter(({ treeId, digest }) => !wanted.some((proof) => proof.treeId === treeId && proof.digest === digest))
    .map(({ gateId }) => ({ kind: 'withdraw', gateId }));
}
