import { pathFromBytes } from '../../lib/byte-path.ts';
import type { Mirror } from '../mirror.ts';
import { splitAtNul } from '../tree-changes.ts';
import { TreeDraft } from '../tree-draft.ts';
import { writeCommit } from '../write-commit.ts';
import { type AppliedDiffs, applyDiffs } from './apply-diff.ts';
import type { FileSection } from './diff-model.ts';
import { prefixEvidence, resolvePaths } from './section-paths.ts';

/** Number of commits of the branch that are searched. */
const MAX_COMMITS = 5_000;
/** A shorter abbreviated id is too ambiguous to identify a blob. */
const MIN_ID_LENGTH = 7;
/** The id that git writes for a file that does not exist. */
const NO_BLOB = /^0+$/;
const MERGER = { name: 'Sluice', email: 'merge@sluice.invalid' };

interface PathChange {
  commit: string;
  path: string;
  oldBlob: string;
  newBlob: string;
}

/**
 * Returns the newest first-parent ancestor of the tip whose files have the blobs that a git patch names. Undefined when
 * the patch names none, or no such commit is found.
 */
export async function findBlobBase(
  mirror: Mirror,
  { tip, sections }: { tip: string; sections: readonly FileSection[] },
): Promise<string | undefined> {
  const wanted = wantedBlobs(sections);
  if (wanted === undefined) return undefined;
  const state = new Map<string, string>();
  const files = await TreeDraft.of(mirror, tip);
  for (const path of wanted.keys()) state.set(path, files.find(path)?.blob ?? '');
  const changes = await changesOf(mirror, { tip, paths: [...wanted.keys()], options: ['--first-parent', '-m'] });
  for (const [commit, ofCommit] of Map.groupBy(changes, (change) => change.commit)) {
    // `state` now describes the parent of this commit.
    for (const { path, oldBlob } of ofCommit) state.set(path, oldBlob);
    const fits = [...wanted].every(([path, id]) => state.get(path)?.startsWith(id));
    if (fits) return (await mirror.longLived.info(`${commit}^1^{commit}`))?.id;
  }
  return undefined;
}

/**
 * Merges as `git am -3` does when no single commit has all the blobs: applies the patch to a synthetic base that holds
 * them, and merges the result with the tip. Uses only blobs that a commit of the branch held at the same path.
 * Undefined when this fails.
 */
export async function mergeByBlobs(
  mirror: Mirror,
  { tip, diffs, strip }: { tip: string; diffs: readonly (readonly FileSection[])[]; strip: number | undefined },
): Promise<{ tree: string; applied: Extract<AppliedDiffs, { ok: true }> } | undefined> {
  const wanted = wantedBlobs(diffs.flat());
  if (wanted === undefined) return undefined;
  const base = await TreeDraft.of(mirror, tip);
  const changes = await changesOf(mirror, { tip, paths: [...wanted.keys()], options: ['-m'] });
  for (const [path, id] of wanted) {
    const known = [
      base.find(path)?.blob,
      ...changes.filter((change) => change.path === path).flatMap(({ oldBlob, newBlob }) => [oldBlob, newBlob]),
    ];
    const blobs = new Set(known.filter((blob) => blob?.startsWith(id) && !NO_BLOB.test(blob)));
    if (blobs.size !== 1) return undefined;
    base.place(path, { mode: base.find(path)?.mode ?? '100644', blob: [...blobs][0]! });
  }
  const format = await mirror.objectFormat();
  const applied = await applyDiffs(base, diffs, { strip, exact: true, format });
  if (!applied.ok) return undefined;
  const baseCommit = await commitOf(mirror, { tree: await base.toTree(), parent: null });
  const ours = await commitOf(mirror, { tree: await mirror.treeOf(tip), parent: baseCommit });
  const theirs = await commitOf(mirror, { tree: await applied.draft.toTree(), parent: baseCommit });
  const merged = await mirror.merge(ours, theirs);
  return merged.clean ? { tree: merged.tree, applied } : undefined;
}

/** Maps each path to the blob that it must have; undefined when a section of an existing file names none. */
function wantedBlobs(sections: readonly FileSection[]): Map<string, string> | undefined {
  const strip = prefixEvidence(sections) === 'bare' ? 0 : 1;
  const wanted = new Map<string, string>();
  const made = new Set<string>();
  for (const section of sections) {
    const paths = resolvePaths(section, strip, () => true);
    if ('problem' in paths) return undefined;
    const from = 'from' in paths ? paths.from : paths.kind === 'new' ? undefined : paths.path;
    // A rename or a change of mode alone names no blob and fits any content.
    const needsContent = section.hunks.length > 0 || section.binary !== undefined;
    if (from !== undefined && needsContent && !made.has(from) && !wanted.has(from)) {
      const id = section.blobs?.old;
      if (id === undefined || id.length < MIN_ID_LENGTH || NO_BLOB.test(id)) return undefined;
      wanted.set(from, id);
    }
    // A file that an earlier mail of the series made is not on the branch.
    made.add('to' in paths ? paths.to : paths.path);
  }
  return wanted.size === 0 ? undefined : wanted;
}

/** Lists the changes of the paths on the branch, newest first. */
async function changesOf(
  mirror: Mirror,
  { tip, paths, options }: { tip: string; paths: readonly string[]; options: readonly string[] },
): Promise<PathChange[]> {
  const format = ['--raw', '--no-abbrev', '--no-renames', '-z', '--format=%x01%H', `--max-count=${MAX_COMMITS}`];
  const raw = await mirror.run({
    args: ['log', ...options, ...format, tip, '--', ...paths],
    env: { GIT_LITERAL_PATHSPECS: '1' },
  });
  const changes: PathChange[] = [];
  let commit = '';
  const parts = splitAtNul(raw);
  for (let at = 0; at < parts.length; at += 1) {
    const text = parts[at]!.toString('latin1').trim();
    if (text.startsWith('\u0001')) commit = text.slice(1);
    if (!text.startsWith(':')) continue;
    const [, , oldBlob, newBlob] = text.split(' ');
    changes.push({ commit, path: pathFromBytes(parts[at + 1]!), oldBlob: oldBlob!, newBlob: newBlob! });
    at += 1;
  }
  return changes;
}

function commitOf(mirror: Mirror, { tree, parent }: { tree: string; parent: string | null }): Promise<string> {
  const when = new Date(0).toISOString();
  const by = { author: MERGER, committer: MERGER, authoredAt: when, committedAt: when };
  return writeCommit(mirror, { tree, parent, message: 'merge of a patch by its blobs', ...by });
}
