import type { CompositionScene, Compositions } from '../../candidates/compositions.ts';
import type { Policy } from '../../contract/policy.ts';
import type { Daos } from '../../dao/all.ts';
import type { LandingPlan } from '../../domain/landing/planner.ts';
import type { LandingSnapshot } from '../../domain/landing/snapshot.ts';
import type { VerdictSeal } from '../../domain/verdict-seal.ts';
import type { TargetRow } from '../../entities/target.ts';
import type { Mirror, Tip } from '../../git/mirror.ts';
import type { Mirrors } from '../../git/mirrors.ts';
import type { HeldLease } from '../../ledger/leases.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import type { Log } from '../../lib/log.ts';
import type { CrashPoint, RepositoryBook } from '../support/ports.ts';
import type { Knowledge } from './knowledge.ts';

export interface LandingDeps {
  ledger: Ledger;
  daos: Daos;
  mirrors: Mirrors;
  repositories: RepositoryBook;
  seal: VerdictSeal;
  plan: (snapshot: LandingSnapshot) => LandingPlan;
  /** Called before and after each step that must survive a crash; tests stop the process there. */
  crashPoint: CrashPoint;
  log: Log;
}

/** Results of recent pushes to a target, kept between rounds. */
export interface Pushing {
  /** Pushes in a row that did not move the branch. */
  faults: number;
  /** Most patches in the next push. Set when the remote refused a longer push, and halved until one patch is left. */
  limit: number | undefined;
  /** A patch that was refused by itself while others wait. Pushing the others shows whether it is the cause. */
  suspect: { patchId: string; words: string } | undefined;
}

/** The part of a round that settling and verifying need; they run before the policy is read. */
export interface SettledScene {
  deps: LandingDeps;
  lease: HeldLease;
  target: TargetRow;
  mirror: Mirror;
  tip: Tip;
}

/** One round's view of a target, under a lease that is held. */
export interface LandingScene extends SettledScene, CompositionScene {
  policy: Policy;
  knowledge: Knowledge;
  compositions: Compositions;
  pushing: Pushing;
}
