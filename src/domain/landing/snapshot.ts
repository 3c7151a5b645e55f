import type { GateDefinition, Prove } from '../../contract/policy.ts';
import type { GateOutcome } from '../../contract/states.ts';
import type { Proof } from '../gates-in-force.ts';

/** Patches put on the tip, one commit each, in landing order; the last one is judged here. None: the tip itself. */
export interface Candidate {
  patchIds: readonly string[];
  commits: readonly { patchId: string; commit: string; tree: string }[];
  treeId: string;
  /** What stands before the last patch. */
  parentTreeId: string;
  proofs: readonly Proof[];
  /** True when the last patch changes the policy: what stands behind it would be judged by the old one. */
  changesPolicy: boolean;
}

/** A patch that does not compose on what stands before it, or that would touch there what it may not. */
export interface Conflict {
  kind: 'block' | 'quarantine';
  reason: string;
  evidence: Readonly<Record<string, unknown>>;
}

export type Composition = { candidate: Candidate } | { conflict: Conflict };

/** An execution that ended without proving anything good. */
export interface Spoiled {
  gateId: string;
  outcome: GateOutcome;
  endedAtMs: number;
}

/** What is known of one (tree, digest). */
export interface ProofState {
  passed: boolean;
  /** Green, but not often enough against its reds: it is asked again. */
  undecided?: boolean;
  live: boolean;
  /** Newest last. */
  spoiled: readonly Spoiled[];
}

/** An execution that may speak against a patch: its candidate held it, and nothing green has held it since. */
export interface Doubt extends Spoiled {
  gate: GateDefinition;
  digest: string;
  pinned: boolean;
  /** The same candidate without the patch. */
  restTreeId: string;
  /** True when the patch stood last: what stands behind one is not what it is doubted for. */
  last: boolean;
  /** True when the rest is a tip. */
  alone: boolean;
  startedAtMs: number;
  /** Of a run that was lost: others under the same gate were green between this one and the next that was lost. */
  amongGreen: boolean;
}

export interface QueuedPatch {
  patchId: string;
  /** False: its gates are run on the tip, and nothing lands. */
  lands: boolean;
}

export interface LiveGate {
  gateId: string;
  treeId: string;
  digest: string;
  patchIds: readonly string[];
  advisory: boolean;
}

/** All that the planner may know, read once. */
export interface LandingSnapshot {
  tipTreeId: string;
  /** Nothing lands; testing goes on. */
  paused: boolean;
  prove: Prove;
  /** Patches in one push. */
  maxBatch: number;
  /** Candidates under test at once. */
  slots: number;
  /** In landing order. */
  queue: readonly QueuedPatch[];
  /** These patches on the tip; undefined while nobody has composed them yet. */
  compose: (patchIds: readonly string[]) => Composition | undefined;
  proofState: (treeId: string, digest: string) => ProofState;
  /** Since the patch was staged, oldest first, whatever the tip was then. */
  doubts: (patchId: string) => readonly Doubt[];
  /** When anything was last green under a digest, and when a tip was last bad under it; 0 for never. */
  health: (digest: string) => { greenAtMs: number; badTipAtMs: number };
  /** False for a gate that a run brings along: the tip need not pass it. */
  isOfBranch: (digest: string) => boolean;
  /** The clock of all these times. */
  nowMs: number;
  /** True when it was doubted and then found green. */
  wasCleared: (patchId: string) => boolean;
  /** How many patches have landed since it was last doubted. */
  overtakenBy: (patchId: string) => number;
  /** The remote refused it by itself: others are pushed first, which tells whether it takes anything. */
  isPushDoubted: (patchId: string) => boolean;
  liveGates: readonly LiveGate[];
  /** The share of gate runs on good trees that are red all the same, as seen on this target: 0 to 1. */
  flakeRate: number;
}
