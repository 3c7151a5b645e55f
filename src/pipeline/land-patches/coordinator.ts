import type { Policy } from '../../contract/policy.ts';
import type { Daos } from '../../dao/all.ts';
import type { LandingStep } from '../../domain/landing-planner.ts';
import { planLanding } from '../../domain/landing-planner.ts';
import type { TargetRow } from '../../entities/target.ts';
import type { Mirror, Mirrors, Tip } from '../../git/mirror.ts';
import type { HeldLease } from '../../ledger/leases.ts';
import { assertLease } from '../../ledger/leases.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { observeTip } from '../../ledger/targets.ts';
import type { Log } from '../../lib/log.ts';
import type { RepositoryBook } from '../ports.ts';
import { readPolicy } from '../read-policy.ts';
import { CandidateLine } from './candidate-line.ts';
import { carryOut } from './carry-out.ts';
import { settleOpenIntent } from './settle.ts';
import { readSnapshot } from './snapshot.ts';
import { verifyApplied } from './verify.ts';

export interface LandingDeps {
  ledger: Ledger;
  daos: Daos;
  mirrors: Mirrors;
  repositories: RepositoryBook;
  log: Log;
}

/** One round's view of a target, under a lease that is held. */
export interface LandingScene {
  deps: LandingDeps;
  lease: HeldLease;
  target: TargetRow;
  mirror: Mirror;
  tip: Tip;
  policy: Policy;
  /** Pushes in a row that did not move the branch. */
  pushFaults: { count: number };
}

/** What settling and verifying need: they happen before the policy is read. */
export type SettledScene = Omit<LandingScene, 'policy' | 'pushFaults'>;

/**
 * Lands the patches of one target. Each round settles what an earlier one left open, looks at the branch, and carries out
 * what the planner proposes. All it remembers between rounds is a cache.
 */
export class LandingCoordinator {
  readonly #deps: LandingDeps;
  readonly #targetId: string;
  readonly #line = new CandidateLine();
  readonly #pushFaults = { count: 0 };

  constructor(deps: LandingDeps, targetId: string) {
    this.#deps = deps;
    this.#targetId = targetId;
  }

  /** `again` when something moved. Throws `lease.lost` when somebody else coordinates now. */
  async round(lease: HeldLease): Promise<'again' | undefined> {
    const target = await this.#deps.daos.targets.get(this.#targetId);
    const mirror = this.#deps.mirrors.of(target.url);
    const tip = await mirror.fetchTip(target.branch);
    const settled = await settleOpenIntent({ deps: this.#deps, lease, target, mirror, tip });
    if (settled) return 'again';
    const { policy, error } = await readPolicy(mirror, tip.commit);
    await this.#deps.ledger.write(async (tx) => {
      await assertLease(tx, lease);
      await observeTip(tx, { targetId: target.target_id, ...tip, policy, policyError: error });
    });
    await verifyApplied({ deps: this.#deps, lease, target, mirror, tip });
    // Under a policy that cannot be read no gate is in force: everything waits, and the target says why.
    if (policy === null) return undefined;
    const pushFaults = this.#pushFaults;
    const scene: LandingScene = { deps: this.#deps, lease, target, mirror, tip, policy, pushFaults };
    const steps = planLanding(await readSnapshot(scene, this.#line));
    return this.#carryOut(scene, steps);
  }

  async #carryOut(scene: LandingScene, steps: readonly LandingStep[]): Promise<'again' | undefined> {
    let moved = false;
    for (const step of steps) moved = (await carryOut(scene, step)) || moved;
    return moved ? 'again' : undefined;
  }
}
