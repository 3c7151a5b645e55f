import { hasCode, SluiceError } from '../contract/errors.ts';
import type { QueuedPatchRow } from '../dao/patch-dao.ts';
import { withTrailers } from '../domain/trailers.ts';
import { treeFromOwnDiff } from '../git/build-tree.ts';
import { type MergedChange, mergeChange } from '../git/merge-change.ts';
import type { Mirror } from '../git/mirror.ts';
import { type Person, writeCommit } from '../git/write-commit.ts';

/** Inputs of composing. `readDiff` is called only for a change whose commit is missing or cannot be merged. */
export interface Composer {
  mirror: Mirror;
  committer: Person;
  readDiff: (patchId: string) => Promise<Buffer>;
}

export interface ComposedCommit {
  patch_id: string;
  commit: string;
  tree: string;
}

export type Appended =
  | { ok: true; commit: ComposedCommit }
  | { ok: false; patchId: string; reason: 'conflict' | 'base_gone' | 'unbuildable'; evidence: Record<string, unknown> };

export type Composed = { ok: true; commits: ComposedCommit[] } | Extract<Appended, { ok: false }>;

/**
 * Puts patches on a tip, one commit each, with plumbing only. The same tip and patches give the same commits on every
 * machine, so a gate worker can rebuild what the coordinator planned and compare.
 */
export async function composeOnTip(
  composer: Composer,
  { tip, patches }: { tip: string; patches: readonly QueuedPatchRow[] },
): Promise<Composed> {
  const commits: ComposedCommit[] = [];
  for (const patch of patches) {
    const appended = await appendPatch(composer, { parent: commits.at(-1)?.commit ?? tip, patch });
    if (!appended.ok) return appended;
    commits.push(appended.commit);
  }
  return { ok: true, commits };
}

export async function appendPatch(
  composer: Composer,
  { parent, patch }: { parent: string; patch: QueuedPatchRow },
): Promise<Appended> {
  const merged = await mergeOrSay(composer, { parent, patch });
  if (!merged.ok) return { ok: false, patchId: patch.patch_id, reason: merged.reason, evidence: merged.evidence };
  const commit = await writeCommit(composer.mirror, {
    tree: merged.tree,
    parent,
    message: landedMessage(patch),
    author: authorOf(patch),
    authoredAt: patch.authored_at.toISOString(),
    committer: composer.committer,
    committedAt: patch.staged_at.toISOString(),
  });
  return { ok: true, commit: { patch_id: patch.patch_id, commit, tree: merged.tree } };
}

/**
 * Returns the tree that a patch makes of its parent's. A patch that cannot be rebuilt as a commit is refused instead of
 * thrown, so that it does not stop the others.
 */
export async function mergeOrSay(
  composer: Composer,
  { parent, patch }: { parent: string; patch: QueuedPatchRow },
): Promise<MergedChange> {
  try {
    const commit = await ensurePatchCommit(composer, patch);
    const readDiff = () => composer.readDiff(patch.patch_id);
    return await mergeChange(composer.mirror, { tip: parent, base: patch.base_commit!, commit, readDiff });
  } catch (error) {
    if (!hasCode(error, 'patch.unbuildable')) throw error;
    return { ok: false, reason: 'unbuildable', evidence: { messages: error.message } };
  }
}

/** Returns the patch's commit on its base, rebuilt from the ledger if the mirror does not have it. */
async function ensurePatchCommit({ mirror, readDiff }: Composer, patch: QueuedPatchRow): Promise<string> {
  const known = patch.commit_id!;
  if (await mirror.has(known)) return known;
  // Without its base the commit cannot be rebuilt; then the diff alone is applied.
  if (!(await mirror.has(patch.base_commit!))) return known;
  const built = await treeFromOwnDiff(mirror, { base: patch.base_commit!, diff: await readDiff(patch.patch_id) });
  if (!built.ok) throw doesNotRebuild(patch, built.words);
  const author = authorOf(patch);
  const authoredAt = patch.authored_at.toISOString();
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
    throw doesNotRebuild(patch, `it rebuilds as ${rebuilt}, not as ${known}`);
  }
  return known;
}

function doesNotRebuild({ patch_id }: QueuedPatchRow, words: string): SluiceError {
  return new SluiceError('patch.unbuildable', `patch ${patch_id} cannot be rebuilt as its commit: ${words}`);
}

function authorOf(patch: QueuedPatchRow): Person {
  return { name: patch.author_name ?? 'Sluice', email: patch.author_email ?? 'patch@sluice.invalid' };
}

/** Adds trailers for people; no code reads them back. */
function landedMessage({ message, run_id, task_id, patch_id }: QueuedPatchRow): string {
  return withTrailers(message, [`Sluice-Run: ${run_id}`, `Sluice-Task: ${task_id}`, `Sluice-Patch: ${patch_id}`]);
}
