import type { GateDefinition } from '../../contract/policy.ts';
import { gatesInForce, proofsFor, unionOfGates } from '../../domain/gates-in-force.ts';
import type { Candidate, Conflict } from '../../domain/landing-planner.ts';
import { matcher } from '../../domain/path-rules.ts';
import type { PatchRow } from '../../entities/patch.ts';
import { treeWithPinned } from '../../git/build-tree.ts';
import { changesBetween } from '../../git/tree-changes.ts';
import { checkPatch } from '../check-patch.ts';
import { composeOnTip } from './compose.ts';
import type { LandingScene } from './coordinator.ts';

type OnTip = { candidate: Candidate } | { conflict: Conflict };

/** How each patch stands on the tip. Computed once per tip and patch: composing is pure, so a cache is never wrong. */
export class CandidateLine {
  #tip = '';
  readonly #known = new Map<string, OnTip>();

  async onTip(scene: LandingScene, patch: PatchRow, extraGates: readonly GateDefinition[]): Promise<OnTip> {
    if (this.#tip !== scene.tip.commit) {
      this.#known.clear();
      this.#tip = scene.tip.commit;
    }
    // Staged again (requeued) means another commit time, so another commit.
    const key = `${patch.patch_id} ${patch.staged_at?.toISOString()}`;
    const known = this.#known.get(key) ?? (await composeCandidate(scene, patch, extraGates));
    this.#known.set(key, known);
    return known;
  }
}

async function composeCandidate(
  scene: LandingScene,
  patch: PatchRow,
  extraGates: readonly GateDefinition[],
): Promise<OnTip> {
  const { mirror, tip, policy, target, deps } = scene;
  const committer = deps.repositories.committer(target.repository);
  const composed = await composeOnTip(mirror, { tip: tip.commit, patches: [patch], committer });
  if (!composed.ok) {
    const { patchId, reason, evidence } = composed;
    return { conflict: { patchId, reason, evidence: { ...evidence, tip: tip.commit } } };
  }
  const { commit, tree } = composed.commits.at(-1)!;
  const change = await changesBetween(mirror, tip.tree, tree);
  // Judged again as it lands: a merge follows renames, and the policy of the tip may be another than at capture.
  const refusal = checkPatch(change, { policy, scope: patch.scope ?? null, secrets: [] });
  if (refusal !== undefined) {
    return {
      conflict: { patchId: patch.patch_id, reason: refusal.reason, evidence: { ...refusal.evidence, tip: tip.commit } },
    };
  }
  const paths = change.paths.map(({ path }) => path);
  const isPinned = matcher(policy.pinned);
  const pinned = paths.some(isPinned) ? await treeWithPinned(mirror, { tree, pinnedFrom: tip.commit, isPinned }) : null;
  const gates = gatesInForce(unionOfGates(policy.gates, extraGates), paths);
  return {
    candidate: {
      patchIds: [patch.patch_id],
      commit,
      treeId: tree,
      parentTreeId: tip.tree,
      proofs: proofsFor(gates, policy.prepare, { landing: tree, pinned: pinned === tree ? null : pinned }),
    },
  };
}
