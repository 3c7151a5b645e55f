import { SluiceError } from '../contract/errors.ts';
import type { InlineFile } from '../contract/patch-input.ts';
import { machineFault } from '../lib/machine-fault.ts';
import type { Mirror } from './mirror.ts';
import { type DraftFile, MODES, TreeDraft } from './tree-draft.ts';

export type BuiltTree = { ok: true; tree: string } | { ok: false; reason: 'does_not_apply'; words: string };

/**
 * Applies a diff that git itself made (`changesBetween`) to a commit's tree, exactly. Diffs of callers are read by
 * `diff/apply-diff.ts` instead, because git skips lines that it does not understand.
 */
export async function treeFromOwnDiff(
  mirror: Mirror,
  { base, diff }: { base: string; diff: Buffer },
): Promise<BuiltTree> {
  return mirror.withIndex(async (indexFile) => {
    await mirror.run({ args: ['read-tree', base], indexFile });
    const args = ['apply', '--cached', '--whitespace=nowarn', '-'];
    const { exitCode, stderr } = await mirror.ask({ args, indexFile, stdin: diff });
    assertRoom(stderr);
    if (exitCode !== 0) return { ok: false, reason: 'does_not_apply', words: stderr };
    return { ok: true, tree: await mirror.text({ args: ['write-tree'], indexFile }) };
  });
}

/**
 * Throws when git lacked a resource of this host, because that says nothing about the diff. Only git's own `fatal: `
 * lines count: other lines may quote names from the diff.
 */
function assertRoom(words: string): void {
  const message = words
    .split('\n')
    .filter((line) => line.startsWith('fatal: '))
    .join('\n');
  if (machineFault({ message }) !== undefined) throw new SluiceError('git.failed', `git apply: ${message}`);
}

/** Builds a tree from whole files to write, replace or remove. */
export async function treeFromFiles(
  mirror: Mirror,
  { base, files }: { base: string; files: readonly InlineFile[] },
): Promise<BuiltTree> {
  const draft = await TreeDraft.of(mirror, base);
  const seen = new Set<string>();
  for (const file of files) {
    const { path } = file;
    const known = draft.find(path);
    const refused = seen.has(path) ? 'is given twice' : refusalOf(file, known);
    if (refused !== undefined) return { ok: false, reason: 'does_not_apply', words: `${path} ${refused}` };
    seen.add(path);
    if (file.delete === true) draft.remove(path);
    else draft.write(path, { mode: modeOf(file, known), content: contentOf(file) });
  }
  const both = draft.collision();
  if (both === undefined) return { ok: true, tree: await draft.toTree() };
  const words = `${both} would be both a file and a folder: delete one of the two`;
  return { ok: false, reason: 'does_not_apply', words };
}

function refusalOf(file: InlineFile, known: DraftFile | undefined): string | undefined {
  if (known?.mode === MODES.submodule) return 'is a submodule, and submodules are not supported';
  return file.delete === true && known === undefined ? 'does not exist' : undefined;
}

/** Only the executable bit is inherited: text written over a symbolic link becomes a file, not a link target. */
function modeOf({ mode }: InlineFile, known: DraftFile | undefined): string {
  if (mode !== undefined) return mode;
  return known?.mode === MODES.executable ? MODES.executable : MODES.file;
}

function contentOf({ content, content_base64 }: InlineFile): Buffer {
  return content === undefined ? Buffer.from(content_base64 ?? '', 'base64') : Buffer.from(content);
}
