import { readPolicy } from '../candidates/read-policy.ts';
import type { AuditedCommit, AuditedProof, AuditObject } from '../contract/answers.ts';
import type { Daos } from '../dao/all.ts';
import { type EverPassed, sealedPart } from '../dao/gate-verdict-dao.ts';
import { gateMeaning, gatesInForce } from '../domain/gates-in-force.ts';
import type { VerdictSeal } from '../domain/verdict-seal.ts';
import type { IntendedPatch, LandingIntentRow } from '../entities/landing-intent.ts';
import type { Mirror, Tip } from '../git/mirror.ts';
import type { Mirrors } from '../git/mirrors.ts';
import { changedPaths } from '../git/tree-changes.ts';

export interface AuditDeps {
  daos: Daos;
  mirrors: Mirrors;
  /** Without a key every sealed verdict is accepted. */
  seal: VerdictSeal;
}

/** Checks every commit that Sluice landed, oldest first: its tree against git, its verdicts against the ledger. */
export async function auditTarget(deps: AuditDeps, targetId: string): Promise<AuditObject> {
  const { daos, mirrors } = deps;
  const target = await daos.targets.get(targetId);
  const mirror = mirrors.of(target.url);
  const tip = await mirror.fetchTip(target.branch);
  const commits: AuditedCommit[] = [];
  for (const intent of await daos.intents.findApplied(targetId)) {
    commits.push(...(await auditIntent(deps, { mirror, tip, intent })));
  }
  return { target_id: targetId, tip_commit: tip.commit, commits, proven: commits.every(({ proven }) => proven) };
}

async function auditIntent(
  { daos, seal }: AuditDeps,
  { mirror, tip, intent }: { mirror: Mirror; tip: Tip; intent: LandingIntentRow },
): Promise<AuditedCommit[]> {
  const verdicts = await daos.verdicts.findEverPassed(intent.proofs.map(({ tree }) => tree));
  const sealedSince = (await daos.installation.current()).sealed_since ?? null;
  const problemOf = (verdict: EverPassed): string | null => {
    if (!verdict.executed) return 'has a verdict without an execution behind it';
    const mustHold = sealedSince !== null && verdict.created_at >= sealedSince;
    return mustHold && !seal.holds(sealedPart(verdict), verdict.seal)
      ? 'has a verdict that was not sealed by this daemon'
      : null;
  };
  const proofs = intent.proofs.map(({ tree, digest, gate, gate_id: named }): AuditedProof => {
    const known = verdicts.filter((verdict) => verdict.tree_id === tree && verdict.digest === digest);
    // An older version did not record the execution behind a proof, or kept only the newest execution of a verdict.
    const meant = known.filter(({ gate_id }) => gate_id === named);
    const counted = meant.length > 0 ? meant : known;
    const verdict = counted.find((one) => problemOf(one) === null) ?? counted[0];
    const problem = verdict === undefined ? 'has no green verdict' : problemOf(verdict);
    return { gate, digest, tree_id: tree, gate_id: verdict?.gate_id ?? null, problem };
  });
  const each = intent.prove === 'every_commit';
  const whole = {
    broken: proofs.find(({ problem }) => problem !== null),
    trees: proofs.map(({ tree_id }) => tree_id),
  };
  const audited: AuditedCommit[] = [];
  for (const [index, patch] of intent.patches.entries()) {
    audited.push(await auditOne(patch, intent.patches[index - 1]?.commit ?? intent.old_tip));
  }
  return audited;

  async function auditOne({ patch_id, commit, tree }: IntendedPatch, parent: string): Promise<AuditedCommit> {
    const here = await mirror.has(commit);
    const provenTree = each ? tree : intent.tree_id;
    const unasked = here ? await gateNotAsked(mirror, { intent, parent, provenTree }) : undefined;
    const problem =
      here && (await mirror.treeOf(commit)) !== tree
        ? `the commit does not have the tree ${tree}`
        : whole.broken !== undefined
          ? `gate ${whole.broken.gate} ${whole.broken.problem} on ${whole.broken.tree_id}`
          : whole.trees.includes(provenTree)
            ? unasked === undefined
              ? null
              : `the policy of its parent asks for gate ${unasked}, which did not run on ${provenTree}`
            : `no gate ran on the tree ${provenTree}`;
    return {
      commit,
      patch_id,
      tree_id: tree,
      landed_at: intent.settled_at!.toISOString(),
      on_branch: await mirror.contains(tip.commit, commit),
      proofs: proofs.filter(({ tree_id }) => tree_id === provenTree || proofs.length === 1),
      proven_by: each ? commit : intent.new_commit,
      proven: problem === null,
      problem,
    };
  }
}

/**
 * Returns a gate that the policy of a commit's parent puts in force and that is not among the proofs of its landing.
 * Undefined when there is none, or when the parent is no longer in the mirror.
 */
async function gateNotAsked(
  mirror: Mirror,
  { intent, parent, provenTree }: { intent: LandingIntentRow; parent: string; provenTree: string },
): Promise<string | undefined> {
  if (!(await mirror.has(parent)) || !(await mirror.has(intent.old_tip))) return undefined;
  const { policy } = await readPolicy(mirror, parent);
  if (policy === null) return undefined;
  const touched = (await changedPaths(mirror, intent.old_tip, provenTree)).map(({ path }) => path);
  const asked = new Set(
    intent.proofs.filter(({ tree }) => tree === provenTree).map(({ digest, meaning }) => meaning ?? digest),
  );
  return gatesInForce(policy.gates, touched).find(
    (gate) => !gate.advisory && !asked.has(gateMeaning(gate, policy.prepare)),
  )?.name;
}
