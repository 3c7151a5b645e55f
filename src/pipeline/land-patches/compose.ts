import { SluiceError } from '../../contract/errors.ts';
import type { PatchRow } from '../../entities/patch.ts';
import { treeFromDiff } from '../../git/build-tree.ts';
import { mergeChange } from '../../git/merge-change.ts';
import type { Mirror } from '../../git/mirror.ts';
import { type Person, writeCommit } from '../../git/write-commit.ts';

/** What of a patch's row its candidate is made of. */
export type ComposablePatch = Pick<
  PatchRow,
  | 'patch_id'
  | 'run_id'
  | 'task_id'
  | 'diff'
  | 'base_commit'
  | 'commit_id'
  | 'message'
  | 'author_name'
  | 'author_email'
  | 'authored_at'
  | 'staged_at'
>;

export interface ComposedCommit {
  patch_id: string;
  commit: string;
  tree: string;
}

export type Composed =
  | { ok: true; commits: ComposedCommit[] }
  | { ok: false; patchId: string; reason: 'conflict' | 'base_gone'; evidence: Record<string, unknown> };

/**
 * Puts patches on a tip, one commit each, with plumbing only. The same tip and patches give the same commits on every
 * machine, so a gate worker can rebuild what the coordinator planned and compare.
 */
export async function composeOnTip(
  mirror: Mirror,
  { tip, patches, committer }: { tip: string; patches: readonly ComposablePatch[]; committer: Person },
): Promise<Composed> {
  const commits: ComposedCommit[] = [];
  let parent = tip;
  for (const patch of patches) {
    const commit = await ensurePatchCommit(mirror, patch);
    const merged = await mergeChange(mirror, { tip: parent, base: patch.base_commit!, commit, diff: patch.diff! });
    if (!merged.ok) return { ok: false, patchId: patch.patch_id, reason: merged.reason, evidence: merged.evidence };
    parent = await writeCommit(mirror, {
      tree: merged.tree,
      parent,
      message: landedMessage(patch),
      author: authorOf(patch),
      authoredAt: patch.authored_at!.toISOString(),
      committer,
      committedAt: patch.staged_at!.toISOString(),
    });
    commits.push({ patch_id: patch.patch_id, commit: parent, tree: merged.tree });
  }
  return { ok: true, commits };
}

/** The patch as a commit on its base, made again from the ledger where it is not at hand. */
async function ensurePatchCommit(mirror: Mirror, patch: ComposablePatch): Promise<string> {
  const known = patch.commit_id!;
  if (await mirror.has(known)) return known;
  // Without its base there is no commit; what is merged then is the diff alone.
  if (!(await mirror.has(patch.base_commit!))) return known;
  const built = await treeFromDiff(mirror, { base: patch.base_commit!, diff: patch.diff!, strip: 1 });
  if (!built.ok) throw new SluiceError('git.failed', `patch ${patch.patch_id} does not rebuild: ${built.words}`);
  const author = authorOf(patch);
  const authoredAt = patch.authored_at!.toISOString();
  const rebuilt = await writeCommit(mirror, {
    tree: built.tree,
    parent: patch.base_commit!,
    message: patch.message,
    author,
    authoredAt,
    committer: author,
    committedAt: authoredAt,
  });
  if (rebuilt !== known) {
    throw new SluiceError('git.failed', `patch ${patch.patch_id} rebuilds as ${rebuilt}, not as ${known}`);
  }
  return known;
}

function authorOf(patch: ComposablePatch): Person {
  return { name: patch.author_name ?? 'Sluice', email: patch.author_email ?? 'patch@sluice.invalid' };
}

/** Trailers are for people: nothing reads them back. */
function landedMessage({ message, run_id, task_id, patch_id }: ComposablePatch): string {
  const trailers = [`Sluice-Run: ${run_id}`, `Sluice-Task: ${task_id}`, `Sluice-Patch: ${patch_id}`];
  return `${message.trim()}\n\n${trailers.join('\n')}\n`;
}
