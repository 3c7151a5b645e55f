import { type PatchInput, patchBytes, patchInputSchema } from '../../contract/patch-input.ts';
import { unsafePath } from '../../domain/path-rules.ts';
import { type BuiltTree, treeFromDiff, treeFromFiles } from '../../git/build-tree.ts';
import { ContextDiffError, contextToUnified } from '../../git/context-diff.ts';
import type { Mirror } from '../../git/mirror.ts';
import { readPatchHeaders } from '../../git/patch-text.ts';
import { changesBetween } from '../../git/tree-changes.ts';
import type { AttemptEnding } from '../../ledger/attempts.ts';
import type { ClaimedTask } from '../../ledger/claims.ts';
import type { NewPatch } from '../../ledger/record-patch.ts';
import { buildPatch, type PatchOrigin, refusedPatch } from './build-patch.ts';
import type { TaskBase } from './resolve-base.ts';

const ANONYMOUS = { name: 'Sluice', email: 'patch@sluice.invalid' };

/** The built-in tool `patch`: the caller's change becomes a commit on its base. The same bytes never get a second try. */
export async function readyMadePatch(
  mirror: Mirror,
  task: ClaimedTask,
  { tip, message }: { tip: TaskBase; message: string },
): Promise<AttemptEnding> {
  const input = patchInputSchema.parse(task.input);
  const base = input.base ?? tip.commit;
  const origin: PatchOrigin = {
    format: input.format,
    content: patchBytes(input),
    base,
    message,
    author: input.author ?? ANONYMOUS,
  };
  const patch = await makePatch(mirror, { input, origin, task, policy: tip.policy });
  return { kind: 'patch', patch, mayRetry: false };
}

async function makePatch(
  mirror: Mirror,
  {
    input,
    origin,
    task,
    policy,
  }: { input: PatchInput; origin: PatchOrigin; task: ClaimedTask; policy: TaskBase['policy'] },
): Promise<NewPatch> {
  const { base } = origin;
  if (!(await mirror.has(base))) {
    return refusedPatch(origin, [], { reason: 'base_unknown', evidence: { base, branch: task.branch } });
  }
  const bytes = origin.content!.length;
  if (bytes > 4 * policy.limits.max_bytes) {
    // Far over the limit: not even read. The exact judgement is made on what git makes of it.
    const evidence = { size_bytes: bytes, max_bytes: policy.limits.max_bytes };
    return refusedPatch(origin, [], { reason: 'too_large', evidence });
  }
  const text = readText(input);
  if ('refusal' in text) return refusedPatch(origin, [], text.refusal);
  const unsafe = unsafePath(text.paths);
  if (unsafe !== undefined) return refusedPatch(origin, text.paths, unsafe);
  const built = await text.build(mirror, base);
  if (!built.ok) {
    const reason = built.malformed ? 'malformed' : 'does_not_apply';
    return refusedPatch(origin, text.paths, { reason, evidence: { messages: built.words.slice(0, 4_000) } });
  }
  const change = await changesBetween(mirror, base, built.tree);
  if (change.paths.length === 0) return refusedPatch(origin, text.paths, { reason: 'empty', evidence: {} });
  return buildPatch(mirror, origin, { change, tree: built.tree, rules: { policy, scope: task.scope, secrets: [] } });
}

type ReadText =
  | { paths: string[]; build: (mirror: Mirror, base: string) => Promise<BuiltTree> }
  | { refusal: { reason: string; evidence: Record<string, unknown> } };

function readText(input: PatchInput): ReadText {
  if (input.format === 'inline') {
    const { files } = input;
    const build = (mirror: Mirror, base: string) => treeFromFiles(mirror, { base, files });
    return { paths: files.map(({ path }) => path), build };
  }
  let diff = patchBytes(input);
  if (input.format === 'context_diff') {
    try {
      // As Latin-1 every byte is one character, and comes out as it went in.
      diff = Buffer.from(contextToUnified(diff.toString('latin1')), 'latin1');
    } catch (error) {
      if (!(error instanceof ContextDiffError)) throw error;
      return { refusal: { reason: 'malformed', evidence: { messages: error.message } } };
    }
  }
  const { paths, strip, withoutContext, mayLackContext } = readPatchHeaders(diff.toString('utf8'));
  if (paths.length === 0) return { refusal: { reason: 'malformed', evidence: { messages: 'it names no file' } } };
  if (withoutContext && input.base === undefined) {
    const messages = 'a diff without context goes by line numbers alone: give the base it was made on';
    return { refusal: { reason: 'malformed', evidence: { messages } } };
  }
  const build = async (mirror: Mirror, base: string): Promise<BuiltTree> => {
    const built = await treeFromDiff(mirror, { base, diff, strip, withoutContext });
    // git wants such a hunk at an end of the file, unless told that its line numbers are to be trusted.
    if (built.ok || withoutContext || !mayLackContext || input.base === undefined) return built;
    return treeFromDiff(mirror, { base, diff, strip, withoutContext: true });
  };
  return { paths, build };
}
