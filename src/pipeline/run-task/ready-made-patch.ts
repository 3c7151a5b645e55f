import { hasCode } from '../../contract/errors.ts';
import { type PatchInput, patchBytes, patchInputSchema, personSchema } from '../../contract/patch-input.ts';
import { type Refusal, unsafePath } from '../../domain/path-rules.ts';
import { treeFromFiles } from '../../git/build-tree.ts';
import { type AppliedDiffs, applyDiffs } from '../../git/diff/apply-diff.ts';
import { findBlobBase, mergeByBlobs } from '../../git/diff/blob-base.ts';
import type { Mail } from '../../git/diff/mails.ts';
import { type ReadPatch, readPatch } from '../../git/diff/read-patch.ts';
import type { Mirror } from '../../git/mirror.ts';
import { changesBetween } from '../../git/tree-changes.ts';
import { TreeDraft } from '../../git/tree-draft.ts';
import type { AttemptEnding } from '../../ledger/attempts/attempts.ts';
import type { ClaimedTask } from '../../ledger/attempts/claims.ts';
import type { NewPatch } from '../../ledger/attempts/record-patch.ts';
import { buildPatch, type PatchOrigin, refusedPatch } from './build-patch.ts';
import { type GivenMessage, messageOf } from './commit-message.ts';
import type { TaskBase } from './resolve-base.ts';

const ANONYMOUS = { name: 'Sluice', email: 'patch@sluice.invalid' };
/**
 * Refusals on the tip after which an older commit is tried: the patch does not fit, or does not say where it belongs.
 */
const MAY_BE_OLDER: readonly string[] = ['does_not_apply', 'malformed'];
/** Most entries of each kind in the notes of a patch. */
const MAX_MEMBERS = 50;

/** A change as a tree on the commit that it was made on, with notes for people on how the patch was read. */
interface MadeChange {
  base: string;
  tree: string;
  notes: Record<string, unknown>;
}

type Made = MadeChange | { refusal: Refusal };

interface Given {
  input: PatchInput;
  origin: PatchOrigin;
  message: GivenMessage;
  task: ClaimedTask;
  tip: TaskBase;
}

/**
 * Runs the built-in tool `patch`: commits the caller's change on its base. Never retried, because the same bytes give
 * the same result.
 */
export async function readyMadePatch(
  mirror: Mirror,
  task: ClaimedTask,
  { tip, message }: { tip: TaskBase; message: GivenMessage },
): Promise<AttemptEnding> {
  const input = patchInputSchema.parse(task.input);
  const origin: PatchOrigin = {
    format: input.format,
    content: patchBytes(input),
    base: input.base ?? tip.commit,
    message: messageOf(message, undefined),
    author: input.author ?? ANONYMOUS,
  };
  return { kind: 'patch', patch: await makePatch(mirror, { input, origin, message, task, tip }), mayRetry: false };
}

async function makePatch(mirror: Mirror, given: Given): Promise<NewPatch> {
  const { input, origin } = given;
  const early = await refusalBeforeReading(mirror, given);
  if (early !== undefined) return refusedPatch(origin, [], early);
  if (input.format === 'inline') {
    const paths = input.files.map(({ path }) => path);
    return finish(mirror, given, { paths, made: await orRefused(makeFromFiles(mirror, input, origin.base)) });
  }
  const read = await readPatch(mirror, origin.content!);
  if (!read.ok) return refusedPatch(origin, read.names, read);
  const made = await orRefused(makeFromDiffs(mirror, { input, read, tip: given.tip.commit }));
  return finish(mirror, { ...given, origin: asItsMailSays(given, read.mails) }, { paths: read.names, made });
}

/** Takes the author and message of a single mail where the caller gives none, and its date. */
function asItsMailSays({ input, origin, message }: Given, mails: readonly Mail[]): PatchOrigin {
  const [mail] = mails;
  if (mail === undefined || mails.length > 1) return origin;
  const author = personSchema.safeParse(mail.author);
  return {
    ...origin,
    message: messageOf(message, mail.message),
    author: input.author ?? (author.success ? author.data : ANONYMOUS),
    ...(mail.authoredAt === undefined ? {} : { authoredAt: mail.authoredAt }),
  };
}

/** Turns a name that git does not take into a refusal of the patch. */
async function orRefused(making: Promise<Made>): Promise<Made> {
  try {
    return await making;
  } catch (error) {
    if (!hasCode(error, 'path.refused')) throw error;
    return { refusal: { reason: 'unsafe_path', evidence: { path: error.facts.path, messages: error.message } } };
  }
}

async function refusalBeforeReading(mirror: Mirror, { origin, task, tip }: Given): Promise<Refusal | undefined> {
  const { base, content } = origin;
  if (!(await mirror.has(base))) return { reason: 'base_unknown', evidence: { base, branch: task.branch } };
  // Far over the limit, a patch is not even parsed. The exact check comes later, on git's own diff of the change.
  const { max_bytes } = tip.policy.limits;
  if (content!.length <= 4 * max_bytes) return undefined;
  return { reason: 'too_large', evidence: { size_bytes: content!.length, max_bytes } };
}

async function finish(
  mirror: Mirror,
  { origin, task, tip }: Given,
  { paths, made }: { paths: readonly string[]; made: Made },
): Promise<NewPatch> {
  if ('refusal' in made) return refusedPatch(origin, paths, made.refusal);
  const change = await changesBetween(mirror, made.base, made.tree);
  if (change.paths.length === 0) return refusedPatch(origin, paths, { reason: 'empty', evidence: {} });
  const rules = { policy: tip.policy, scope: task.scope, secrets: [] };
  const patch = await buildPatch(mirror, { ...origin, base: made.base }, { change, tree: made.tree, rules });
  return { ...patch, notes: Object.keys(made.notes).length === 0 ? null : made.notes };
}

async function makeFromFiles(
  mirror: Mirror,
  { files }: Extract<PatchInput, { format: 'inline' }>,
  base: string,
): Promise<Made> {
  const draft = await TreeDraft.of(mirror, base);
  const unsafe = unsafePath(files.map(({ path }) => ({ path, isNew: draft.find(path) === undefined })));
  if (unsafe !== undefined) return { refusal: unsafe };
  const built = await treeFromFiles(mirror, { base, files });
  if (built.ok) return { base, tree: built.tree, notes: {} };
  return { refusal: { reason: built.reason, evidence: { messages: built.words } } };
}

/**
 * Applies diffs exactly on the base that the caller named, else on the tip. A patch that does not fit the tip but names
 * the blobs it was made from is applied on the commit that had them, or merged by them.
 */
async function makeFromDiffs(
  mirror: Mirror,
  { input, read, tip }: { input: Exclude<PatchInput, { format: 'inline' }>; read: ReadPatch; tip: string },
): Promise<Made> {
  const format = await mirror.objectFormat();
  const { strip } = input;
  const on = async (base: string, exact: boolean): Promise<AppliedDiffs> =>
    applyDiffs(await TreeDraft.of(mirror, base), read.diffs, { strip, exact, format });
  const base = input.base ?? tip;
  const applied = await on(base, input.base !== undefined);
  if (applied.ok) return made(base, applied, read, {});
  const refusal = { reason: applied.reason, evidence: applied.evidence };
  if (input.base !== undefined || !MAY_BE_OLDER.includes(applied.reason)) return { refusal };
  const older = await findBlobBase(mirror, { tip, sections: read.diffs.flat() });
  if (older !== undefined) {
    const there = await on(older, true);
    if (there.ok) return made(older, there, read, { base_found: older });
  }
  const merged = await mergeByBlobs(mirror, { tip, diffs: read.diffs, strip });
  if (merged === undefined) return { refusal };
  return { base: tip, tree: merged.tree, notes: notesOf(merged.applied, read, { merged_by: 'blobs' }) };
}

async function made(
  base: string,
  applied: Extract<AppliedDiffs, { ok: true }>,
  read: ReadPatch,
  more: Record<string, unknown>,
): Promise<MadeChange> {
  return { base, tree: await applied.draft.toTree(), notes: notesOf(applied, read, more) };
}

/** Notes how the diff was read where it was not taken literally. */
function notesOf(
  { notes, strip }: Extract<AppliedDiffs, { ok: true }>,
  { repairs, mails }: ReadPatch,
  more: Record<string, unknown>,
): Record<string, unknown> {
  const offsets = notes.flatMap(({ path, offsets: ofPath }) => ofPath.map((offset) => ({ path, ...offset })));
  const edited = notes.filter(({ otherThanIndexed }) => otherThanIndexed).map(({ path }) => path);
  const converted = notes.filter(({ lineEndsConverted }) => lineEndsConverted).map(({ path }) => path);
  return {
    ...more,
    ...repairs,
    ...(offsets.length === 0 ? {} : { offsets: offsets.slice(0, MAX_MEMBERS) }),
    ...(converted.length === 0 ? {} : { line_ends_converted: converted.slice(0, MAX_MEMBERS) }),
    ...(edited.length === 0 ? {} : { other_than_indexed: edited.slice(0, MAX_MEMBERS) }),
    ...(strip === 1 ? {} : { strip }),
    ...(mails.length > 1 ? { mails: mails.length } : {}),
  };
}
