import type { GateDefinition, Prove } from '../../contract/policy.ts';
import type { Reason } from '../../contract/reasons.ts';
import type { GateOutcome } from '../../contract/states.ts';
import type { Proof } from '../gates-in-force.ts';

/** Patches put on the tip in landing order, one commit each; its runs test the last one. No patches: the tip itself. */
export interface Candidate {
  patchIds: readonly string[];
  commits: readonly { patchId: string; commit: string; tree: string }[];
  treeId: string;
  /** Tree of the candidate without the last patch. */
  parentTreeId: string;
  proofs: readonly Proof[];
  /** True when the last patch changes the policy: patches behind it would still be judged by the old policy. */
  changesPolicy: boolean;
}

/** Why a patch cannot be composed: it conflicts with the patches before it, or touches there what it may not. */
export interface Conflict {
  kind: 'block' | 'quarantine';
  reason: Reason;
  evidence: Readonly<Record<string, unknown>>;
}

export type Composition = { candidate: Candidate } | { conflict: Conflict };

/** A gate execution that ended without being green. */
export interface Spoiled {
  gateId: string;
  outcome: GateOutcome;
  endedAtMs: number;
}

/** Results known of one (tree, digest). */
export interface ProofState {
  passed: boolean;
  /** True when green, but not often enough against its reds: the gate runs again. */
  undecided?: boolean;
  live: boolean;
  /** Newest last. */
  spoiled: readonly Spoiled[];
}

/** An execution that may count against a patch: its candidate held the patch, and no green one has held it since. */
export interface Suspicion extends Spoiled {
  gate: GateDefinition;
  digest: string;
  pinned: boolean;
  /** Tree of the same candidate without the patch. */
  restTreeId: string;
  /**
   * True when the patch was last in the candidate. A bad run makes only its last patch a suspect, because each patch
   * before it is the last one of a shorter prefix.
   */
  last: boolean;
  /** True when the candidate held only the patch, so that the rest is a tip. */
  alone: boolean;
  startedAtMs: number;
  /** For a lost run: true when another candidate was green under the same gate before the next lost run. */
  amongGreen: boolean;
}

export interface QueuedPatch {
  patchId: string;
  /** False when its gates run on the tip and nothing lands (`land: false`). */
  lands: boolean;
}

export interface LiveGate {
  gateId: string;
  treeId: string;
  digest: string;
  patchIds: readonly string[];
  advisory: boolean;
}

/** Everything that the planner may know, read once a round. */
export interface LandingSnapshot {
  tipTreeId: string;
  /** True when nothing may land; testing goes on. */
  paused: boolean;
  prove: Prove;
  /** Most patches in one push. */
  maxBatch: number;
  /** Most candidates under test at once. */
  slots: number;
  /** In landing order. */
  queue: readonly QueuedPatch[];
  /** Returns the patches composed on the tip; undefined while that composition was not made yet. */
  compose: (patchIds: readonly string[]) => Composition | undefined;
  proofState: (treeId: string, digest: string) => ProofState;
  /** Returns bad runs with the patch since it was staged, on any tip, oldest first. */
  suspicions: (patchId: string) => readonly Suspicion[];
  /** When a digest was last green on any tree, and last bad on a tip; 0 for never. */
  health: (digest: string) => { greenAtMs: number; badTipAtMs: number };
  /** False for an extra gate of a run: the tip need not pass it. */
  isOfBranch: (digest: string) => boolean;
  /** Time of the database, on whose clock all these times are. */
  nowMs: number;
  /** True when the patch was a suspect and was then found green. */
  hasRecovered: (patchId: string) => boolean;
  /** Returns how many patches have landed since the patch was last doubted. */
  overtakenBy: (patchId: string) => number;
  /** True when the remote refused the patch alone; others are pushed first, to see whether it takes any push. */
  isPushSuspect: (patchId: string) => boolean;
  liveGates: readonly LiveGate[];
  /** Share of gate runs on good trees that are red, as measured on this target; 0 to 1. */
  flakeRate: number;
}
