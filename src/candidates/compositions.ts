import { pathMatcher } from '../contract/glob.ts';
import { type GateDefinition, POLICY_PATH, type Policy } from '../contract/policy.ts';
import type { QueuedPatchRow } from '../dao/patch-dao.ts';
import { type GateRoom, gatesInForce, proofsFor, unionOfGates } from '../domain/gates-in-force.ts';
import type { Candidate, Composition, Conflict } from '../domain/landing/snapshot.ts';
import type { MergedChange } from '../git/merge-change.ts';
import type { Tip } from '../git/mirror.ts';
import { changedPaths } from '../git/tree-changes.ts';
import { treeWithPinned } from '../git/tree-entries.ts';
import { checkPatch } from './check-patch.ts';
import { type Appended, appendPatch, type Composer, mergeOrSay } from './compose.ts';

export interface CompositionScene {
  composer: Composer;
  tip: Tip;
  policy: Policy;
  room: GateRoom;
  patches: ReadonlyMap<string, QueuedPatchRow>;
  extraGates: (runId: string) => readonly GateDefinition[];
}

const MAX_REMEMBERED = 20_000;

/**
 * Caches patches composed on the tip of this round and on earlier ones. Composing is pure, so an entry is never wrong.
 * After a landing most entries still fit the new tip.
 */
export class Compositions {
  /** Keyed by parent commit and patch. */
  readonly #appended = new Map<string, Appended>();
  readonly #merged = new Map<string, MergedChange>();
  readonly #onTip = new Map<string, Composition>();
  #tip = '';
  #generation = '';

  /** Forgets candidates of another tip, which another policy judged, and everything when the mirror was rebuilt. */
  startOn(tip: Tip, generation: string): void {
    if (this.#generation !== generation) for (const memory of [this.#appended, this.#merged]) memory.clear();
    if (this.#tip !== tip.commit || this.#generation !== generation) this.#onTip.clear();
    this.#tip = tip.commit;
    this.#generation = generation;
    for (const memory of [this.#appended, this.#merged, this.#onTip]) if (memory.size > MAX_REMEMBERED) memory.clear();
  }

  /** Forgets everything, because an object that an entry names may be gone. */
  forget(): void {
    for (const memory of [this.#appended, this.#merged, this.#onTip]) memory.clear();
  }

  /** Returns every tree whose verdicts may decide about something composed on this tip. */
  treeIds(): string[] {
    return [...this.#onTip.values()].flatMap((composition) =>
      'conflict' in composition ? [] : treesOf(composition.candidate),
    );
  }

  find(patches: readonly QueuedPatchRow[]): Composition | undefined {
    return this.#onTip.get(keyOf(patches));
  }

  /** Composes the patches on the tip, with the gates that are in force for them. */
  async make(scene: CompositionScene, patches: readonly QueuedPatchRow[]): Promise<Composition> {
    const key = keyOf(patches);
    const known = this.#onTip.get(key) ?? (await this.#compose(scene, patches));
    this.#onTip.set(key, known);
    return known;
  }

  /**
   * True when a patch alone conflicts with the tip or changes nothing there. Nothing else matters for a patch far back,
   * and this takes only milliseconds.
   */
  async conflictsWithTip({ composer, tip }: CompositionScene, patch: QueuedPatchRow): Promise<boolean> {
    const key = `${tip.commit} ${keyOf([patch])}`;
    const merged = this.#merged.get(key) ?? (await mergeOrSay(composer, { parent: tip.commit, patch }));
    this.#merged.set(key, merged);
    return !merged.ok || merged.tree === tip.tree;
  }

  /** Returns the tree of patches on any commit; undefined when they do not compose there. */
  async treeOn(composer: Composer, { tip, patches }: { tip: string; patches: readonly QueuedPatchRow[] }) {
    let commit = tip;
    for (const patch of patches) {
      const appended = await this.#append(composer, commit, patch);
      if (!appended.ok) return undefined;
      commit = appended.commit.commit;
    }
    return composer.mirror.treeOf(commit);
  }

  async #compose(scene: CompositionScene, patches: readonly QueuedPatchRow[]): Promise<Composition> {
    const { composer, tip, policy, room } = scene;
    const before = patches.slice(0, -1);
    const last = patches.at(-1)!;
    const rest = before.length === 0 ? undefined : await this.make(scene, before);
    if (rest !== undefined && 'conflict' in rest) return rest;
    const commits = rest?.candidate.commits ?? [];
    const parent = commits.at(-1) ?? { commit: tip.commit, tree: tip.tree };
    const appended = await this.#append(composer, parent.commit, last);
    if (!appended.ok) {
      const { reason, evidence } = appended;
      return { conflict: { kind: 'block', reason, evidence: { ...evidence, tip: tip.commit } } };
    }
    const { commit, tree } = appended.commit;
    const own = await changedPaths(composer.mirror, parent.tree, tree);
    const refusal = judgedAgain(last, { policy, paths: own });
    if (refusal !== undefined) return { conflict: refusal };
    const all = before.length === 0 ? own : await changedPaths(composer.mirror, tip.tree, tree);
    const chain = [...commits, { patchId: last.patch_id, commit, tree }];
    const touched = all.map(({ path }) => path);
    const gates = gatesInForce(this.#gatesOf(scene, patches), touched);
    const pinned = await this.#pinnedTree(scene, { patches, tree, parent: parent.commit, own, touched });
    return {
      candidate: {
        patchIds: patches.map(({ patch_id }) => patch_id),
        commits: chain,
        treeId: tree,
        changesPolicy: own.some(({ path }) => path === POLICY_PATH),
        parentTreeId: parent.tree,
        proofs: proofsFor(
          gates,
          { prepare: policy.prepare, room },
          { landing: tree, pinned: pinned === tree ? null : pinned },
        ),
      } satisfies Candidate,
    };
  }

  async #append(composer: Composer, parent: string, patch: QueuedPatchRow): Promise<Appended> {
    const key = `${parent} ${keyOf([patch])}`;
    const known = this.#appended.get(key) ?? (await appendPatch(composer, { parent, patch }));
    this.#appended.set(key, known);
    return known;
  }

  #gatesOf({ policy, extraGates }: CompositionScene, patches: readonly QueuedPatchRow[]): GateDefinition[] {
    const runs = [...new Set(patches.map(({ run_id }) => run_id))];
    return runs.reduce<GateDefinition[]>((gates, runId) => unionOfGates(gates, extraGates(runId)), [...policy.gates]);
  }

  /**
   * Returns the tree with the pinned files of the commit it lands on. Null when the change touches none, or when an
   * operator approved it.
   */
  async #pinnedTree(
    { composer, tip, policy }: CompositionScene,
    change: {
      patches: readonly QueuedPatchRow[];
      tree: string;
      parent: string;
      own: readonly { path: string }[];
      touched: readonly string[];
    },
  ): Promise<string | null> {
    const { patches, tree, parent, own, touched } = change;
    const isPinned = pathMatcher(policy.pinned);
    const each = policy.landing.prove === 'every_commit';
    const judged = each ? patches.slice(-1) : patches;
    if (judged.every(({ approved_at }) => approved_at !== null)) return null;
    if (!(each ? own.map(({ path }) => path) : touched).some(isPinned)) return null;
    return treeWithPinned(composer.mirror, { tree, pinnedFrom: each ? parent : tip.commit, isPinned });
  }
}

export function treesOf({ treeId, parentTreeId, proofs }: Candidate): string[] {
  return [treeId, parentTreeId, ...proofs.map((proof) => proof.treeId)];
}

/** Judges a patch again as it lands: a merge follows renames, and the policy may have changed since capture. */
function judgedAgain(
  patch: QueuedPatchRow,
  { policy, paths }: { policy: Policy; paths: Parameters<typeof checkPatch>[0]['paths'] },
): Conflict | undefined {
  // Secrets were looked for when the patch was made; a merge adds nothing that the branch does not hold.
  const change = { paths, sizeBytes: patch.size_bytes ?? 0, binary: patch.binary, holdsSecret: false };
  const refusal = checkPatch(change, {
    policy,
    scope: patch.scope ?? null,
    approved: patch.approved_at !== null,
  });
  return refusal === undefined ? undefined : { kind: 'quarantine', ...refusal };
}

/** Names `staged_at`, because a requeue changes the commit time, and the approval, because it changes the judgement. */
function keyOf(patches: readonly QueuedPatchRow[]): string {
  return patches
    .map(
      ({ patch_id, staged_at, approved_at }) => `${patch_id}@${staged_at.getTime()}${approved_at === null ? '' : '+'}`,
    )
    .join(' ');
}
