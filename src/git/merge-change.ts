import { treeFromOwnDiff } from './build-tree.ts';
import type { Mirror } from './mirror.ts';

export type MergedChange =
  | { ok: true; tree: string }
  | { ok: false; reason: 'conflict' | 'base_gone' | 'unbuildable'; evidence: Record<string, unknown> };

const MAX_FILES = 5;
const MAX_HUNK_CHARS = 4_000;

/**
 * Puts a patch's change on a tip without a checkout. A merge needs the base to be an ancestor of the tip: otherwise it
 * would bring back commits that a force-push removed. Without such a base, the change is applied as a diff, or refused.
 */
export async function mergeChange(
  mirror: Mirror,
  { tip, base, commit, readDiff }: { tip: string; base: string; commit: string; readDiff: () => Promise<Buffer> },
): Promise<MergedChange> {
  if (!(await mirror.contains(tip, base))) {
    const applied = await treeFromOwnDiff(mirror, { base: tip, diff: await readDiff() });
    if (applied.ok) return applied;
    return { ok: false, reason: 'base_gone', evidence: { base, messages: applied.words.slice(0, MAX_HUNK_CHARS) } };
  }
  if (base === tip) return { ok: true, tree: await mirror.treeOf(commit) };
  const merged = await mirror.merge(tip, commit);
  if (merged.clean) return { ok: true, tree: merged.tree };
  const { exitCode, stdout, stderr } = await mirror.explainMerge(tip, commit);
  const fields = stdout.toString('utf8').split('\0');
  const tree = fields[0]!;
  if (exitCode === 0) return { ok: true, tree };
  if (exitCode !== 1) throw new Error(`git merge-tree: ${stderr}`);
  return { ok: false, reason: 'conflict', evidence: await conflictEvidence(mirror, tree, fields.slice(1)) };
}

/** Reads `mode oid stage TAB path`, repeated; an empty field; then messages. */
async function conflictEvidence(
  mirror: Mirror,
  tree: string,
  fields: readonly string[],
): Promise<Record<string, unknown>> {
  const end = fields.indexOf('');
  const entries = end === -1 ? fields : fields.slice(0, end);
  const files = [...new Set(entries.map((entry) => entry.slice(entry.indexOf('\t') + 1)))];
  const messages = fields.slice(end + 1).filter((field) => field.startsWith('CONFLICT'));
  const hunks: Record<string, string> = {};
  for (const file of files.slice(0, MAX_FILES)) {
    const content = (await mirror.readFile(tree, file))?.toString('utf8');
    if (content !== undefined) hunks[file] = conflictHunks(content);
  }
  return { files, messages: messages.map((message) => message.trim()), hunks };
}

function conflictHunks(content: string): string {
  const hunks = content.match(/^<<<<<<< [\s\S]*?^>>>>>>> .*$/gm) ?? [];
  return hunks.join('\n').slice(0, MAX_HUNK_CHARS);
}
