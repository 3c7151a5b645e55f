import { composeOnTip } from '../../candidates/compose.ts';
import { readPolicy } from '../../candidates/read-policy.ts';
import { SluiceError } from '../../contract/errors.ts';
import { pathMatcher } from '../../contract/glob.ts';
import type { Policy } from '../../contract/policy.ts';
import type { PatchDao, QueuedPatchRow } from '../../dao/patch-dao.ts';
import { gateDigest } from '../../domain/gates-in-force.ts';
import type { VerdictSeal } from '../../domain/verdict-seal.ts';
import type { Mirror } from '../../git/mirror.ts';
import { treeWithPinned } from '../../git/tree-entries.ts';
import { writeCommit } from '../../git/write-commit.ts';
import type { ClaimedGate } from '../../ledger/attempts/claims.ts';
import { gateValues } from '../support/gate-values.ts';
import type { GateVariables, RepositoryBook } from '../support/ports.ts';

export interface RebuildDeps {
  patches: PatchDao;
  repositories: RepositoryBook;
  seal: VerdictSeal;
  gateVariables: GateVariables;
}

export interface RebuiltCandidate {
  commit: string;
  /** The policy of the tip that the candidate builds on. */
  policy: Policy;
}

/** Author of commits with pinned files, which never leave the mirror. */
const OVERLAY = { name: 'Sluice', email: 'overlay@sluice.invalid' };

/**
 * Returns the commit to check out. Throws `candidate.mismatch` unless its tree is the one that the coordinator planned.
 */
export async function rebuildCandidate(
  deps: RebuildDeps,
  mirror: Mirror,
  gate: ClaimedGate,
): Promise<RebuiltCandidate> {
  await mirror.ensure();
  if (!(await mirror.has(gate.tip_commit))) await mirror.fetchTip(gate.branch);
  const { policy, error } = await readPolicy(mirror, gate.tip_commit);
  if (policy === null) throw new SluiceError('policy.invalid', error);
  assertSameRoom(deps, { gate, policy });
  const rows = await deps.patches.findComposable(gate.patch_ids);
  const patches = gate.patch_ids.map((id) => rows.find(({ patch_id }) => patch_id === id));
  if (patches.some((patch) => patch === undefined)) {
    throw new SluiceError('candidate.mismatch', 'a patch of the candidate is gone');
  }
  const committer = deps.repositories.committer(gate.target_id.slice(0, gate.target_id.lastIndexOf('@')));
  const composer = { mirror, committer, readDiff: (id: string) => deps.patches.readDiff(id) };
  const composed = await composeOnTip(composer, { tip: gate.tip_commit, patches: patches as QueuedPatchRow[] });
  if (!composed.ok)
    throw new SluiceError('candidate.mismatch', `the candidate cannot be composed on this worker: ${composed.reason}`);
  const candidate = composed.commits.at(-1) ?? { commit: gate.tip_commit, tree: await mirror.treeOf(gate.tip_commit) };
  const before = policy.landing.prove === 'every_commit' ? composed.commits.at(-2)?.commit : undefined;
  const pinnedFrom = before ?? gate.tip_commit;
  const isPinned = pathMatcher(policy.pinned);
  const tree = gate.pinned
    ? await treeWithPinned(mirror, { tree: candidate.tree, pinnedFrom, isPinned })
    : candidate.tree;
  if (tree !== gate.tree_id) {
    throw new SluiceError(
      'candidate.mismatch',
      `the candidate's tree is ${tree} on this worker, not ${gate.tree_id} as planned`,
    );
  }
  if (!gate.pinned) return { commit: candidate.commit, policy };
  const now = new Date(0).toISOString();
  const commit = await writeCommit(mirror, {
    tree,
    parent: gate.tip_commit,
    message: 'candidate with the pinned files of the branch',
    author: OVERLAY,
    authoredAt: now,
    committer: OVERLAY,
    committedAt: now,
  });
  return { commit, policy };
}

/** Throws if this worker would run the gate under other conditions: a verdict holds only for the planned ones. */
function assertSameRoom(deps: RebuildDeps, { gate, policy }: { gate: ClaimedGate; policy: Policy }): void {
  const room = { ...deps.repositories.gateRoom(gate.url), values: gateValues(deps, gate.url) };
  if (gateDigest(gate.definition, policy.prepare, room) === gate.digest) return;
  const advice =
    '`sandbox` and `gate_network` must be the same in its configuration and the scheduler’s, and its gate variables the same as those of the other workers';
  throw new SluiceError(
    'gate.other_room',
    `this worker would run the gate under other conditions than the scheduler planned: ${advice}`,
  );
}
