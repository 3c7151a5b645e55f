import { pathFromBytes } from '../../lib/byte-path.ts';
import type { Mirror } from '../mirror.ts';
import { splitAtNul } from '../tree-changes.ts';
import { TreeDraft } from '../tree-draft.ts';
import { writeCommit } from '../write-commit.ts';
import { type AppliedDiffs, applyDiffs } from './apply-diff.ts';
import type { FileSection } from './diff-model.ts';
import { prefixEvidence, resolvePaths } from './section-paths.ts';

/** How far back the branch is searched. */
const MAX_COMMITS = 5_000;
/** A shorter id could mean anything. */
const MIN_ID_LENGTH = 7;
/** What git writes in the place of a file that does not exist. */
const NO_BLOB = /^0+$/;
const MERGER = { name: 'Sluice', email: 'merge@sluice.invalid' };

interface PathChange {
  commit: string;
  path: string;
  oldBlob: string;
  newBlob: string;
}

/**
 * The newest commit on the first-parent line of the branch whose files are the ones that a git patch names by their blobs.
 * Undefined when the patch names none, or no such commit is found.
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
    // The state before this commit.
    for (const { path, oldBlob } of ofCommit) state.set(path, oldBlob);
    const fits = [...wanted].every(([path, id]) => state.get(path)?.startsWith(id));
    if (fits) return (await mirror.longLived.info(`${commit}^1^{commit}`))?.id;
  }
  return undefined;
}

/**
 * Merges as `git am -3` does where no one commit has all the blobs: a made-up base holds them, the patch is applied there and
 * merged with the tip. Only blobs that some commit of the branch held at the same path are used. Undefined when it cannot be.
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

/** By path, the blob that each file must have; undefined when a section of an existing file names none. */
function wantedBlobs(sections: readonly FileSection[]): Map<string, string> | undefined {
  const strip = prefixEvidence(sections) === 'bare' ? 0 : 1;
  const wanted = new Map<string, string>();
  const made = new Set<string>();
  for (const section of sections) {
    const paths = resolvePaths(section, strip, () => true);
    if ('problem' in paths) return undefined;
    const from = 'from' in paths ? paths.from : paths.kind === 'new' ? undefined : paths.path;
    // A move or a change of mode alone names no blob, and takes whatever content there is.
    const needsContent = section.hunks.length > 0 || section.binary !== undefined;
    if (from !== undefined && needsContent && !made.has(from) && !wanted.has(from)) {
      const id = section.blobs?.old;
      if (id === undefined || id.length < MIN_ID_LENGTH || NO_BLOB.test(id)) return undefined;
      wanted.set(from, id);
    }
    // What an earlier mail of a series made is not on the branch.
    made.add('to' in paths ? paths.to : paths.path);
  }
  return wanted.size === 0 ? undefined : wanted;
}

/** Newest first. */
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
