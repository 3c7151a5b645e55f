import { checkPatch } from '../../candidates/check-patch.ts';
import { readPolicy } from '../../candidates/read-policy.ts';
import type { PatchFormat } from '../../contract/patch-input.ts';
import { POLICY_PATH, type Policy } from '../../contract/policy.ts';
import { commonPath, type Refusal } from '../../domain/path-rules.ts';
import { contentInsteadOfPointer } from '../../git/lfs.ts';
import type { Mirror } from '../../git/mirror.ts';
import type { TreeChange } from '../../git/tree-changes.ts';
import { type Person, writeCommit } from '../../git/write-commit.ts';
import type { NewPatch } from '../../ledger/attempts/record-patch.ts';
import { holdsSecret, redactDeep, redactedBytes, redactor } from '../../lib/redact.ts';

export interface PatchOrigin {
  format: PatchFormat;
  /** The caller's bytes; null when a tool made the change. */
  content: Buffer | null;
  base: string;
  message: string;
  author: Person;
  /** RFC 3339; when the change was made, if its mail gives a date. */
  authoredAt?: string;
}

/** Commits the change on its base and judges it. */
export async function buildPatch(
  mirror: Mirror,
  origin: PatchOrigin,
  {
    change,
    tree,
    rules,
  }: {
    change: TreeChange;
    tree: string;
    rules: { policy: Policy; scope: readonly string[] | null; secrets: readonly string[] };
  },
): Promise<NewPatch> {
  const authoredAt = origin.authoredAt ?? wholeSecondNow();
  // Stored and shown text is redacted. Whether the tool wrote a secret is judged by the original text below.
  const redact = redactor(rules.secrets);
  const message = redact(origin.message);
  const commit = await writeCommit(mirror, {
    tree,
    parent: origin.base,
    message,
    author: origin.author,
    authoredAt,
    committer: origin.author,
    committedAt: authoredAt,
  });
  const paths = change.paths.map(({ path }) => path);
  const shownTexts = [change.diff, Buffer.from(origin.message), Buffer.from(paths.join('\n'))];
  const hasSecret =
    shownTexts.some((text) => holdsSecret(rules.secrets, text)) ||
    // A diff does not show the content of binary files.
    (change.binary && (await contentHoldsSecret(mirror, tree, { change, secrets: rules.secrets })));
  const touchesPolicy = change.paths.some(({ path }) => path === POLICY_PATH);
  const policyError = touchesPolicy ? ((await readPolicy(mirror, tree)).error ?? undefined) : undefined;
  const lfsPath = await contentInsteadOfPointer(mirror, tree, change.paths);
  const refusal =
    checkPatch({ ...change, sizeBytes: change.diff.length, holdsSecret: hasSecret, lfsPath, policyError }, rules) ??
    null;
  const shown = paths.map(redact);
  return {
    ...emptyPatch({ ...origin, message }, authoredAt),
    // A secret cannot be cut out of git's packed form of a binary file, so the diff is not stored.
    diff: refusal?.reason === 'holds_secret' && change.binary ? null : redactedBytes(change.diff, rules.secrets),
    file_path: commonPath(shown),
    paths: shown,
    commit_id: commit,
    tree_id: tree,
    size_bytes: change.diff.length,
    binary: change.binary,
    refusal: refusal === null ? null : { ...refusal, evidence: redactDeep(refusal.evidence, redact) },
  };
}

/** Reads the new content of each file, one at a time, whatever their number: a policy may allow very many. */
async function contentHoldsSecret(
  mirror: Mirror,
  tree: string,
  { change, secrets }: { change: TreeChange; secrets: readonly string[] },
): Promise<boolean> {
  if (secrets.length === 0) return false;
  for (const { path, mode } of change.paths) {
    if (mode !== '100644' && mode !== '100755') continue;
    if (holdsSecret(secrets, (await mirror.readFile(tree, path)) ?? Buffer.alloc(0))) return true;
  }
  return false;
}

/** Records a change that never became a tree, with its bytes, so that a person can inspect it. */
export function refusedPatch(origin: PatchOrigin, paths: readonly string[], refusal: Refusal): NewPatch {
  return {
    ...emptyPatch(origin, origin.authoredAt ?? wholeSecondNow()),
    file_path: commonPath(paths.slice(0, 1_000)),
    paths: paths.slice(0, 1_000),
    refusal,
  };
}

function emptyPatch(origin: PatchOrigin, authoredAt: string): NewPatch {
  return {
    patch_format: origin.format,
    content: origin.content,
    diff: null,
    file_path: null,
    paths: [],
    size_bytes: null,
    binary: false,
    base_commit: origin.base,
    commit_id: null,
    tree_id: null,
    message: origin.message,
    author_name: origin.author.name,
    author_email: origin.author.email,
    authored_at: authoredAt,
    refusal: null,
    notes: null,
  };
}

/**
 * Returns the time in whole seconds, as git stores it: a finer time in the ledger would not give the same commit again.
 */
function wholeSecondNow(): string {
  return new Date(Math.floor(Date.now() / 1_000) * 1_000).toISOString();
}
