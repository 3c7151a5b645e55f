import type { Composer } from '../../candidates/compose.ts';
import { Compositions } from '../../candidates/compositions.ts';
import { readPolicy } from '../../candidates/read-policy.ts';
import { hasCode } from '../../contract/errors.ts';
import type { GateDefinition, Policy } from '../../contract/policy.ts';
import type { GateValues } from '../../domain/gates-in-force.ts';
import type { LandingPlan } from '../../domain/landing/planner.ts';
import type { LandingSnapshot } from '../../domain/landing/snapshot.ts';
import { viewOf } from '../../domain/landing/view.ts';
import type { TargetRow } from '../../entities/target.ts';
import type { Mirror } from '../../git/mirror.ts';
import { observeTip, showLanding } from '../../ledger/landing/targets.ts';
import type { HeldLease } from '../../ledger/leases.ts';
import { assertLease } from '../../ledger/leases.ts';
import { carryOut } from './carry-out.ts';
import { Knowledge } from './knowledge.ts';
import type { LandingDeps, LandingScene, Pushing, SettledScene } from './landing-round.ts';
import { settleArrivals, settleOpenIntent } from './settle.ts';
import { composeAll, readSnapshot } from './snapshot.ts';
import { TargetTrouble } from './trouble.ts';
import { verifyApplied } from './verify.ts';

/** A tip may be this old, so that a gate's wake-up needs no fetch. Safe: a push names the old tip as its lease. */
const TIP_AGE_MS = 900;
/** Patches far back in the queue that one round checks; more would delay its next look at its gates. */
const LOOK_AHEAD = 25;
/** Every composition is a new one, so this only stops a planner that asks without end. */
const MAX_COMPOSITIONS = 5_000;

/**
 * Lands the patches of one target. Each round settles what an earlier one left open, reads the branch, and carries out
 * what the planner proposes. Between rounds it keeps only caches of immutable facts and the state of refused pushes;
 * without them a new coordinator merely tries again.
 */
export class LandingCoordinator {
  readonly #deps: LandingDeps;
  readonly #targetId: string;
  readonly #compositions = new Compositions();
  readonly #pushing: Pushing = { faults: 0, limit: undefined, suspect: undefined };
  readonly #trouble: TargetTrouble;
  /** Patches known not to conflict with the tip `tip`. */
  readonly #fits = { tip: '', patchIds: new Set<string>() };
  #shown = '';
  #steeredAtMs = 0;

  constructor(deps: LandingDeps, targetId: string) {
    this.#deps = deps;
    this.#targetId = targetId;
    this.#trouble = new TargetTrouble(deps, targetId);
  }

  /** Runs one round. Returns `again` when something moved. Throws `lease.lost` when another process coordinates now. */
  async round(lease: HeldLease): Promise<'again' | undefined> {
    const target = await this.#deps.daos.targets.get(this.#targetId);
    const mirror = this.#deps.mirrors.of(target.url);
    try {
      const moved = await this.#roundOf(lease, target, mirror);
      await this.#trouble.clear(lease, target);
      return moved;
    } catch (error) {
      // Cached compositions may name objects that maintenance has pruned since.
      if (hasCode(error, 'git.failed')) this.#compositions.forget();
      const broken = hasCode(error, 'git.failed') && (await mirror.mend());
      if (!broken) {
        await this.#trouble.record(lease, target, error);
        throw error;
      }
      this.#deps.log.warn({ targetId: this.#targetId, err: error }, 'mirror.made_again');
      return 'again';
    }
  }

  async #roundOf(lease: HeldLease, target: TargetRow, mirror: Mirror): Promise<'again' | undefined> {
    const maxAgeMs = (await this.#isSettled()) && !this.#wasSteered(target) ? TIP_AGE_MS : 0;
    const tip = await mirror.fetchTip(target.branch, { maxAgeMs });
    const settled: SettledScene = { deps: this.#deps, lease, target, mirror, tip };
    if ((await settleOpenIntent(settled)) || (await settleArrivals(settled))) return 'again';
    const { policy, error } = await readPolicy(mirror, tip.commit);
    await this.#observe(settled, { policy, error });
    await verifyApplied(settled);
    // Without a readable policy no gate is in force: every patch waits, and `policy_error` on the target says why.
    if (policy === null) return undefined;
    const scene = await this.#look(settled, policy);
    const snapshot = await readSnapshot(scene);
    const plan = await this.#plan(scene, snapshot);
    await this.#show(scene, { plan, snapshot });
    let moved = await carryOut(scene, plan.steps);
    // The gates are running by now, so there is time to check patches further back against the tip.
    if (!moved) moved = await this.#lookAhead(scene, plan.unseen);
    return moved ? 'again' : undefined;
  }

  /** False while a push may have happened that the ledger does not know of: then the branch must be fetched. */
  async #isSettled(): Promise<boolean> {
    const { intents, patches } = this.#deps.daos;
    const [open, applied] = await Promise.all([
      intents.findOpen(this.#targetId),
      patches.count({ target_id: this.#targetId, state: 'APPLIED' }),
    ]);
    return open === undefined && applied === 0;
  }

  /** True once after an operator's order, which is to be carried out on the branch as it is now. */
  #wasSteered({ steered_at }: TargetRow): boolean {
    const steeredAtMs = steered_at?.getTime() ?? 0;
    const fresh = steeredAtMs > this.#steeredAtMs;
    this.#steeredAtMs = steeredAtMs;
    return fresh;
  }

  async #observe({ lease, target, tip }: SettledScene, read: { policy: Policy | null; error: string | null }) {
    if (target.tip_commit === tip.commit && target.policy_error === read.error && target.policy !== null) return;
    await this.#deps.ledger.write(async (tx) => {
      await assertLease(tx, lease);
      await observeTip(tx, { targetId: target.target_id, ...tip, policy: read.policy, policyError: read.error });
    });
  }

  async #gateValues(url: string, gates: readonly GateDefinition[], steps: Policy['prepare']): Promise<GateValues> {
    if (![...gates, ...steps].some(({ env }) => env.length > 0)) return {};
    return this.#deps.daos.workers.gateValues(url, [...new Set(gates.map(({ pool }) => pool))]);
  }

  async #look(settled: SettledScene, policy: Policy): Promise<LandingScene> {
    const { daos, repositories, seal } = this.#deps;
    const { target, mirror, tip } = settled;
    const knowledge = await Knowledge.read({ daos, seal, flakesAllowed: policy.flakes.allow }, target);
    const runIds = [...new Set(knowledge.queue.map(({ run_id }) => run_id))];
    const extra = await daos.runs.extraGatesOf(runIds);
    const gates = [...policy.gates, ...[...extra.values()].flat()];
    const composer: Composer = {
      mirror,
      committer: repositories.committer(target.repository),
      readDiff: (patchId) => daos.patches.readDiff(patchId),
    };
    this.#compositions.startOn(tip, mirror.generation);
    await knowledge.learn([tip.tree, ...this.#compositions.treeIds()]);
    await knowledge.weighDoubts(this.#compositions, composer);
    return {
      ...settled,
      policy,
      room: { ...repositories.gateRoom(target.url), values: await this.#gateValues(target.url, gates, policy.prepare) },
      knowledge,
      compositions: this.#compositions,
      composer,
      patches: knowledge.patches,
      extraGates: (runId): readonly GateDefinition[] => extra.get(runId) ?? [],
      pushing: this.#pushing,
    };
  }

  /** Plans, composes what the planner lacks, and plans again. */
  async #plan(scene: LandingScene, snapshot: LandingSnapshot): Promise<LandingPlan> {
    let plan = this.#deps.plan(snapshot);
    for (let made = 0; plan.missing.length > 0 && made < MAX_COMPOSITIONS; ) {
      made += await composeAll(scene, plan.missing);
      plan = this.#deps.plan(snapshot);
    }
    return plan;
  }

  /** Checks patches beyond the window against the tip. True when one of them conflicts or more are left to check. */
  async #lookAhead(scene: LandingScene, unseen: readonly string[]): Promise<boolean> {
    const { tip } = scene;
    if (this.#fits.tip !== tip.commit) this.#fits.patchIds.clear();
    this.#fits.tip = tip.commit;
    const fresh = unseen.filter((patchId) => !this.#fits.patchIds.has(patchId));
    let found = false;
    for (const patchId of fresh.slice(0, LOOK_AHEAD)) {
      if (await scene.compositions.conflictsWithTip(scene, scene.patches.get(patchId)!)) {
        await composeAll(scene, [[patchId]]);
        found = true;
      }
      this.#fits.patchIds.add(patchId);
    }
    return found || fresh.length > LOOK_AHEAD;
  }

  async #show({ lease, target }: LandingScene, seen: { plan: LandingPlan; snapshot: LandingSnapshot }): Promise<void> {
    const view = viewOf(seen.plan, seen.snapshot);
    const shown = JSON.stringify(view);
    if (shown === this.#shown) return;
    await this.#deps.ledger.write(async (tx) => {
      await assertLease(tx, lease);
      await showLanding(tx, target.target_id, view);
    });
    this.#shown = shown;
  }
}
