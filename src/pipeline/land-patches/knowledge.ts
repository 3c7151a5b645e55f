import type { Composer } from '../../candidates/compose.ts';
import type { Compositions } from '../../candidates/compositions.ts';
import type { Daos } from '../../dao/all.ts';
import { sealedPart } from '../../dao/gate-verdict-dao.ts';
import type { QueuedPatchRow } from '../../dao/patch-dao.ts';
import type { GateExecution } from '../../dao/test-gate-dao.ts';
import { LOST_FOR_CERTAINTY } from '../../domain/landing/candidate-status.ts';
import {
  badTime,
  type FlakeHistory,
  type FlakeTolerance,
  type GateHealth,
  greensDecide,
  isExcused,
  NO_TOLERANCE,
  redsLaidToFlakes,
} from '../../domain/landing/flake-tolerance.ts';
import { doubtOf, type EndedRun, hasRecovered, spokenAgainst } from '../../domain/landing/history.ts';
import type { ProofState, Spoiled, Suspicion } from '../../domain/landing/snapshot.ts';
import type { VerdictSeal } from '../../domain/verdict-seal.ts';
import type { TargetRow } from '../../entities/target.ts';
import type { TestGateRow } from '../../entities/test-gate.ts';

type RunOnTip = EndedRun & { tipCommit: string };

interface KnowledgeDeps {
  daos: Daos;
  seal: VerdictSeal;
  /** When false, a tree that was red needs more greens than it had reds. */
  flakesAllowed: boolean;
}

interface KnownProof {
  gate: string;
  /** True when there is a sealed green verdict with its execution behind it. */
  green: boolean;
  greens: number;
  /** Start times of the runs that were red or timed out. */
  redsAtMs: number[];
  spoiled: Spoiled[];
}

const NOTHING_KNOWN: KnownProof = { gate: '', green: false, greens: 0, redsAtMs: [], spoiled: [] };
const NO_HEALTH: GateHealth = { greenAtMs: 0, badTipAtMs: 0, badTips: 0, greenBeforeMs: 0 };
/** Latest gate runs of a target from which the flakiness of each gate is measured. */
const RECENT = 500;

/** Most queued patches that a round reads; patches further back wait unread. */
const MAX_QUEUE = 2_000;

/** The ledger's facts about a target: the queue is read once a round, trees and patches when they come up. */
export class Knowledge {
  readonly target: TargetRow;
  readonly queue: readonly QueuedPatchRow[];
  readonly live: readonly TestGateRow[];
  readonly patches: Map<string, QueuedPatchRow>;
  readonly #daos: Daos;
  readonly #seal: VerdictSeal;
  readonly #about = new Map<string, GateExecution[]>();
  readonly #runs = new Map<string, RunOnTip[]>();
  /** Tree and digest of each live gate run. */
  readonly #underTest: ReadonlySet<string>;
  readonly #flakesAllowed: boolean;
  readonly #proofs = new Map<string, KnownProof>();
  readonly #loaded = new Set<string>();
  readonly #suspicions = new Map<string, Suspicion[]>();
  readonly #lastDoubt = new Map<string, Date>();
  #applied: readonly Date[] = [];
  readonly #health = new Map<string, GateHealth>();
  #flakes: ReadonlyMap<string, FlakeHistory> | undefined;

  private constructor(
    { daos, seal, flakesAllowed }: KnowledgeDeps,
    known: { target: TargetRow; queue: readonly QueuedPatchRow[]; live: TestGateRow[]; about: GateExecution[] },
  ) {
    this.#daos = daos;
    this.#seal = seal;
    this.#flakesAllowed = flakesAllowed;
    this.target = known.target;
    this.queue = known.queue;
    this.live = known.live;
    this.#underTest = new Set(known.live.map(({ tree_id, digest }) => `${tree_id} ${digest}`));
    for (const run of known.about) {
      for (const patchId of run.patch_ids) {
        const runs = this.#about.get(patchId);
        if (runs === undefined) this.#about.set(patchId, [run]);
        else runs.push(run);
      }
    }
    this.patches = new Map(known.queue.map((patch) => [patch.patch_id, patch]));
  }

  static async read(deps: KnowledgeDeps, target: TargetRow): Promise<Knowledge> {
    const { daos } = deps;
    const [queue, live] = await Promise.all([
      daos.patches.findQueue(target.target_id, MAX_QUEUE),
      daos.gates.findLive(target.target_id),
    ]);
    const since = new Date(Math.min(...queue.map(({ staged_at }) => staged_at.getTime())));
    const patchIds = queue.map(({ patch_id }) => patch_id);
    const about = queue.length === 0 ? [] : await daos.gates.findEndedAbout(target.target_id, { patchIds, since });
    return new Knowledge(deps, { target, queue, live, about });
  }

  /** Reads the verdicts and ended runs of trees that were not read yet. */
  async learn(treeIds: Iterable<string>): Promise<void> {
    const fresh = [...new Set(treeIds)].filter((treeId) => !this.#loaded.has(treeId));
    if (fresh.length === 0) return;
    const [verdicts, ended] = await Promise.all([
      this.#daos.verdicts.findPassed(fresh),
      this.#daos.gates.findEndedOn(fresh),
    ]);
    for (const treeId of fresh) this.#loaded.add(treeId);
    for (const verdict of verdicts) {
      if (!this.#seal.holds(sealedPart(verdict), verdict.seal)) continue;
      this.#entry(verdict.tree_id, verdict.digest).green = true;
    }
    for (const run of ended) {
      const { tree_id, digest, definition, state, outcome, gate_id, created_at, completed_at } = run;
      const entry = this.#entry(tree_id, digest);
      entry.gate = definition.name;
      if (state === 'PASSED') entry.greens += 1;
      if (outcome === null || this.#isForgiven(completed_at)) continue;
      entry.spoiled.push({ gateId: gate_id, outcome, endedAtMs: completed_at.getTime() });
      const isRed = outcome === 'red' || outcome === 'timeout';
      if (isRed && !this.#isStagedSince(run)) entry.redsAtMs.push(created_at.getTime());
    }
    await this.#learnTolerance(fresh);
  }

  /** Reads how flaky gates are, for gates whose reds decide about a tree. */
  async #learnTolerance(treeIds: readonly string[]): Promise<void> {
    if (!this.#flakesAllowed) return;
    const digests = [...this.#proofs]
      .filter(([key]) => treeIds.includes(key.split(' ')[0]!))
      .filter(([, { greens, redsAtMs }]) => greens > 0 && redsAtMs.length >= greens)
      .map(([key]) => key.split(' ')[1]!);
    if (digests.length === 0) return;
    await this.flakes();
    await this.#learnHealth(digests);
  }

  async #learnHealth(digests: Iterable<string>): Promise<void> {
    const found = await this.#daos.gates.findHealth(this.target.target_id, [...new Set(digests)]);
    for (const [digest, health] of found) this.#health.set(digest, health);
  }

  /** Returns how often each gate of the target was seen to flake. */
  async flakes(): Promise<ReadonlyMap<string, FlakeHistory>> {
    this.#flakes ??= await this.#daos.gates.flakes(this.target.target_id, { last: RECENT });
    return this.#flakes;
  }

  /**
   * Returns how many reds of a gate on a tree count as flakes. The gate's runs on this tree are no evidence for that.
   */
  toleranceOf(treeId: string, digest: string): FlakeTolerance {
    if (!this.#flakesAllowed) return NO_TOLERANCE;
    const { gate, greens, redsAtMs } = this.#known(treeId, digest);
    const { good, flaky } = this.#flakes?.get(gate) ?? { good: 0, flaky: 0 };
    const own =
      greens >= redsAtMs.length ? { good: greens + redsAtMs.length, flaky: redsAtMs.length } : { good: 0, flaky: 0 };
    const reds = redsLaidToFlakes({ good: Math.max(0, good - own.good), flaky: Math.max(0, flaky - own.flaky) });
    return { reds, ...badTime(this.health(digest)) };
  }

  proofState(treeId: string, digest: string): ProofState {
    const { green, greens, redsAtMs, spoiled } = this.#known(treeId, digest);
    const tolerance = this.toleranceOf(treeId, digest);
    const reds = redsAtMs.filter((atMs) => !isExcused(atMs, tolerance)).length;
    const passed = green && greensDecide({ greens, reds }, tolerance);
    return { passed, undecided: green && !passed, live: this.#underTest.has(`${treeId} ${digest}`), spoiled };
  }

  suspicions(patchId: string): readonly Suspicion[] {
    return this.#suspicions.get(patchId) ?? [];
  }

  hasRecovered(patchId: string): boolean {
    return hasRecovered(patchId, this.#runsAbout(patchId));
  }

  health(digest: string): GateHealth {
    return this.#health.get(digest) ?? NO_HEALTH;
  }

  overtakenBy(patchId: string): number {
    const since = this.#lastDoubt.get(patchId);
    return since === undefined ? 0 : this.#applied.filter((at) => at > since).length;
  }

  get anyDoubts(): boolean {
    return this.#suspicions.size > 0;
  }

  /**
   * Finds the tree that each bad candidate of a suspect would be without the suspect. Skips patches that were last in
   * no bad run: they are no suspects.
   */
  async weighDoubts(compositions: Compositions, composer: Composer): Promise<void> {
    for (const { patch_id: patchId } of this.queue) {
      const spoken = spokenAgainst(patchId, this.#runsAbout(patchId));
      if (!spoken.some(({ patchIds }) => patchIds.at(-1) === patchId)) continue;
      const amongGreen = await this.#lostAmongGreen(patchId, spoken);
      const suspicions = await Promise.all(
        spoken.map((run) => this.#weigh(run, { patchId, compositions, composer, amongGreen })),
      );
      this.#suspicions.set(
        patchId,
        suspicions.filter((suspicion) => suspicion !== undefined),
      );
      this.#lastDoubt.set(patchId, new Date(spoken.at(-1)!.endedAtMs));
    }
    if (this.#lastDoubt.size === 0) return;
    await this.learn([...this.#suspicions.values()].flat().map(({ restTreeId }) => restTreeId));
    await this.#learnHealth([...this.#suspicions.values()].flat().map(({ digest }) => digest));
    const earliest = new Date(Math.min(...[...this.#lastDoubt.values()].map((at) => at.getTime())));
    this.#applied = await this.#daos.patches.findAppliedSince(this.target.target_id, earliest);
  }

  async #weigh(
    run: RunOnTip,
    call: { patchId: string; compositions: Compositions; composer: Composer; amongGreen: ReadonlySet<string> },
  ): Promise<Suspicion | undefined> {
    const { patchId, compositions, composer } = call;
    const others = run.patchIds.filter((id) => id !== patchId);
    const unknown = others.filter((id) => !this.patches.has(id));
    for (const row of await this.#daos.patches.findComposable(unknown)) this.patches.set(row.patch_id, row);
    const patches = others.map((id) => this.patches.get(id));
    if (patches.some((row) => row === undefined)) return undefined;
    const restTreeId = await compositions.treeOn(composer, {
      tip: run.tipCommit,
      patches: patches as QueuedPatchRow[],
    });
    if (restTreeId === undefined) return undefined;
    return doubtOf(patchId, run, { restTreeId, amongGreen: call.amongGreen.has(run.gateId) });
  }

  /** Returns the runs lost with a patch last, for which another candidate was green before the next lost run. */
  async #lostAmongGreen(patchId: string, spoken: readonly RunOnTip[]): Promise<Set<string>> {
    const lost = spoken.filter(({ outcome, patchIds }) => outcome === 'lost' && patchIds.at(-1) === patchId);
    if (lost.length < LOST_FOR_CERTAINTY) return new Set();
    const { digest, startedAtMs } = lost[0]!;
    const since = new Date(startedAtMs);
    const greens = await this.#daos.gates.findGreenTimes(this.target.target_id, { digest, since });
    const among = lost.filter((run, index) => {
      const untilMs = lost[index + 1]?.startedAtMs ?? Number.POSITIVE_INFINITY;
      return greens.some(({ startedAtMs: from, endedAtMs: to }) => from >= run.startedAtMs && to <= untilMs);
    });
    return new Set(among.map(({ gateId }) => gateId));
  }

  /** Returns the ended runs with a patch since it was last staged, without advisory gates, which do not count. */
  #runsAbout(patchId: string): readonly RunOnTip[] {
    const known = this.#runs.get(patchId);
    if (known !== undefined) return known;
    const staged = this.patches.get(patchId)?.staged_at;
    const runs = (this.#about.get(patchId) ?? [])
      .filter(({ advisory, created_at }) => !advisory && (staged === undefined || created_at >= staged))
      .map((run) => ({
        gateId: run.gate_id,
        gate: run.definition,
        digest: run.digest,
        pinned: run.pinned,
        patchIds: run.patch_ids,
        outcome: run.outcome,
        startedAtMs: run.created_at.getTime(),
        endedAtMs: run.completed_at.getTime(),
        tipCommit: run.tip_commit,
      }));
    this.#runs.set(patchId, runs);
    return runs;
  }

  /**
   * True for results before an operator resumed the target: the operator has reviewed them, so they no longer count.
   */
  #isForgiven(at: Date): boolean {
    const { resumed_at } = this.target;
    return resumed_at !== null && resumed_at !== undefined && at < resumed_at;
  }

  /** True when the tested patch was staged again after the run: it was reviewed, so the run's red no longer counts. */
  #isStagedSince({ patch_ids, created_at }: GateExecution): boolean {
    const patch = this.patches.get(patch_ids.at(-1) ?? '');
    return patch !== undefined && patch.staged_at > created_at;
  }

  #known(treeId: string, digest: string): KnownProof {
    return this.#proofs.get(`${treeId} ${digest}`) ?? NOTHING_KNOWN;
  }

  #entry(treeId: string, digest: string): KnownProof {
    const key = `${treeId} ${digest}`;
    const entry = this.#proofs.get(key) ?? { ...NOTHING_KNOWN, redsAtMs: [], spoiled: [] };
    this.#proofs.set(key, entry);
    return entry;
  }
}
