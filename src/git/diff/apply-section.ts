import { hasPortableName, staysInside } from '../../contract/fields.ts';
import type { ObjectFormat } from '../object-store.ts';
import { type DraftFile, MODES, type TreeDraft } from '../tree-draft.ts';
import { blobId } from '../write-object.ts';
import { unpackBinary } from './binary-patch.ts';
import type { FileSection, Hunk } from './diff-model.ts';
import { applyHunks, type HunkOffset } from './place-hunks.ts';
import { namesIn, resolvePaths, type SectionPaths } from './section-paths.ts';

/** Notes for the evidence of an accepted patch. */
export interface SectionNotes {
  path: string;
  offsets: HunkOffset[];
  lineEndsConverted: boolean;
  otherThanIndexed: boolean;
}

export interface SectionProblem {
  /** `paths` means that the names do not fit the branch, so another strip level may be right. */
  stage: 'paths' | 'content';
  reason: 'malformed' | 'does_not_apply' | 'unsafe_path' | 'submodule_entry';
  evidence: { messages: string; line: number; path: string; hunk?: number; offset?: number };
}

export type AppliedSection = { ok: true; notes: SectionNotes } | { ok: false; problem: SectionProblem };

export interface SectionScene {
  /** Changed by each section in turn. */
  draft: TreeDraft;
  /** The files before this diff: all its renames and copies refer to them. */
  before: TreeDraft;
  /** Paths that the diff renames away, so that another section may write them. */
  vacated: ReadonlySet<string>;
  /** Paths that a section of this diff has written. */
  written: Set<string>;
  /** Paths that a section of this diff has changed in place. */
  modified: Set<string>;
  /**
   * Remaining bytes of content that sections may read. It bounds the cost of many sections of one large file, because
   * each section reads the whole file.
   */
  budget: { bytes: number };
  strip: number;
  exact: boolean;
  format: ObjectFormat;
}

/** Applies one section of a diff to the draft, or returns the problem and leaves the draft unchanged. */
export async function applySection(section: FileSection, scene: SectionScene): Promise<AppliedSection> {
  const source = section.moved === undefined ? scene.draft : scene.before;
  const paths = pathsOf(section, scene, source);
  if ('ok' in paths) return paths;
  const [from, to] = [fromOf(paths), toOf(paths)];
  const path = to ?? from!;
  const old = from === undefined ? undefined : source.find(from);
  const mode = modeAfter(section, old);
  if (typeof mode === 'object') return fails(section, 'content', mode.reason, { path, problem: mode.problem });
  const before = old === undefined ? Buffer.alloc(0) : await source.read(from!);
  scene.budget.bytes -= before.length;
  if (scene.budget.bytes < 0) {
    const problem = 'exceeds the limit on file content that one patch may read: split the patch';
    return fails(section, 'content', 'malformed', { path, problem });
  }
  const after = contentAfter(section, before, scene);
  if ('problem' in after) return fails(section, 'content', after.reason, { path, ...after });
  if (to === undefined && after.content.length > 0) {
    return fails(section, 'content', 'does_not_apply', { path, problem: 'has lines that the diff does not remove' });
  }
  if (to === from && after.content.equals(before) && mode === old?.mode) {
    return fails(section, 'content', 'malformed', { path, problem: 'is named but not changed' });
  }
  write(scene, { paths, mode, content: after.content });
  const { offsets, lineEndsConverted } = after;
  const otherThanIndexed = isOtherThanIndexed(section, { before, after: after.content, format: scene.format });
  return { ok: true, notes: { path, offsets, lineEndsConverted, otherThanIndexed } };
}

/** True when the old content is the one of the index line but the new content is not: the diff was cut or edited. */
function isOtherThanIndexed(
  { blobs, hunks }: FileSection,
  { before, after, format }: { before: Buffer; after: Buffer; format: ObjectFormat },
): boolean {
  if (blobs === undefined || hunks.length === 0 || !blobId(before, format).startsWith(blobs.old)) return false;
  return after.length > 0 && !blobId(after, format).startsWith(blobs.new);
}

/** Resolves the section's paths. Refuses names that do not exist, leave the repository, or hit another file. */
function pathsOf(section: FileSection, scene: SectionScene, source: TreeDraft): SectionPaths | AppliedSection {
  const { draft, before, strip, vacated, modified } = scene;
  const absolute = namesIn(section).find((name) => name.startsWith('/'));
  if (absolute !== undefined) {
    return fails(section, 'content', 'unsafe_path', { path: absolute, problem: 'is an absolute path' });
  }
  if (section.newName?.nonexistent) {
    const problem = `is removed by svn's "(nonexistent)", which other tools read as an empty file: send a git diff`;
    return fails(section, 'content', 'malformed', { path: section.newName.name, problem });
  }
  const paths = resolvePaths(section, strip, (path) => source.find(path) !== undefined);
  if ('problem' in paths) return fails(section, 'paths', 'does_not_apply', paths);
  const [from, to] = [fromOf(paths), toOf(paths)];
  const unsafe = [from, to].find((path) => path !== undefined && isUnsafe(path, before));
  if (unsafe !== undefined) {
    const problem = 'is outside the repository or has a name that is not allowed';
    return fails(section, 'content', 'unsafe_path', { path: unsafe, problem });
  }
  if (paths.kind === 'renamed' && modified.has(paths.from)) {
    const problem =
      'is changed and then renamed in one diff: send the two commits as separate mails (git format-patch)';
    return fails(section, 'content', 'malformed', { path: paths.from, problem });
  }
  if (to !== undefined && to !== from && draft.find(to) !== undefined && !vacated.has(to)) {
    return fails(section, 'paths', 'does_not_apply', { path: to, problem: 'exists already' });
  }
  return paths;
}

function write(
  { draft, written, modified }: SectionScene,
  { paths, mode, content }: { paths: SectionPaths; mode: string; content: Buffer },
): void {
  const [from, to] = [fromOf(paths), toOf(paths)];
  if (to === undefined) {
    draft.remove(from!);
    return;
  }
  if (paths.kind === 'renamed' && !written.has(paths.from)) draft.remove(paths.from);
  draft.write(to, { mode, content });
  written.add(to);
  if (paths.kind === 'modified') modified.add(to);
}

function fromOf(paths: SectionPaths): string | undefined {
  if ('from' in paths) return paths.from;
  return paths.kind === 'new' ? undefined : paths.path;
}

function toOf(paths: SectionPaths): string | undefined {
  if ('to' in paths) return paths.to;
  return paths.kind === 'deleted' ? undefined : paths.path;
}

function isUnsafe(path: string, before: TreeDraft): boolean {
  return !staysInside(path) || (!hasPortableName(path) && before.find(path) === undefined);
}

type Refused = { reason: SectionProblem['reason']; problem: string };

/** Returns the new mode of the file; refuses a section that is for another kind of file. */
function modeAfter(section: FileSection, old: DraftFile | undefined): string | Refused {
  const { oldMode, newMode } = section;
  const submodule = { reason: 'submodule_entry', problem: 'is a submodule, and submodules are not supported' } as const;
  if (old?.mode === MODES.submodule || [oldMode, newMode].includes(MODES.submodule)) return submodule;
  const [declaredOld, declaredNew] = [canonical(oldMode), canonical(newMode)];
  if (declaredOld === 'unknown' || declaredNew === 'unknown') {
    return { reason: 'malformed', problem: `has a mode that git does not know: ${newMode ?? oldMode}` };
  }
  // A rename or copy without a change of content names no mode: the old mode stays.
  const speaksOfKind = section.moved === undefined || declaredOld !== undefined;
  if (old !== undefined && speaksOfKind && isLink(old.mode) !== isLink(declaredOld ?? MODES.file)) {
    const problem = isLink(old.mode)
      ? 'is a symbolic link, but the diff changes a file'
      : 'is a file, but the diff changes a symbolic link';
    return { reason: 'does_not_apply', problem };
  }
  return declaredNew ?? old?.mode ?? MODES.file;
}

function isLink(mode: string): boolean {
  return mode === MODES.link;
}

/** Returns the mode as git stores it: only the executable bit of a file's permissions counts. */
function canonical(mode: string | undefined): string | undefined {
  if (mode === undefined || mode === MODES.link) return mode;
  if (!/^100[0-7]{3}$/.test(mode)) return 'unknown';
  return (Number.parseInt(mode.slice(3), 8) & 0o100) === 0 ? MODES.file : MODES.executable;
}

type Content = { content: Buffer; offsets: HunkOffset[]; lineEndsConverted: boolean };

function contentAfter(
  section: FileSection,
  old: Buffer,
  scene: SectionScene,
): Content | (Refused & { hunk?: number; offset?: number }) {
  const { binary, hunks } = section;
  if (binary !== undefined) return binaryContent(section, old, scene.format);
  if (hunks.length === 0) return contentWithoutHunks(section, old, scene.format);
  const text = old.toString('latin1');
  // A system that writes CRLF converted the headers too. The file itself may also have CRLF, so both variants are
  // tried.
  const variants = section.carriageReturns ? [withoutCarriageReturns(hunks), hunks] : [hunks];
  const placed = variants.map((variant) => applyHunks(text, variant, scene));
  const taken = placed.find(({ ok }) => ok) ?? placed[0]!;
  if (!taken.ok) {
    const { hunk, problem, offset, needsBase } = taken;
    const reason = needsBase ? 'malformed' : 'does_not_apply';
    return { reason, problem: `hunk ${hunk} ${problem}`, hunk, ...(offset === undefined ? {} : { offset }) };
  }
  const lineEndsConverted = section.carriageReturns && taken === placed[0];
  return { content: Buffer.from(taken.content, 'latin1'), offsets: taken.offsets, lineEndsConverted };
}

/** Accepts a change of mode or name alone, or an empty new file. Otherwise the content was lost on the way. */
function contentWithoutHunks({ declared, blobs }: FileSection, old: Buffer, format: ObjectFormat): Content | Refused {
  if (declared === 'new' && blobs !== undefined && !blobId(old, format).startsWith(blobs.new)) {
    return { reason: 'malformed', problem: `is new with the content ${blobs.new}, which the diff does not include` };
  }
  return { content: old, offsets: [], lineEndsConverted: false };
}

function withoutCarriageReturns(hunks: readonly Hunk[]): Hunk[] {
  return hunks.map((hunk) => ({
    ...hunk,
    lines: hunk.lines.map(({ kind, text }) => ({ kind, text: text.replace(/\r(\n?)$/, '$1') })),
  }));
}

/** Accepts a binary change only between the exact contents that its `index` line names. */
function binaryContent({ binary, blobs }: FileSection, old: Buffer, format: ObjectFormat): Content | Refused {
  if (blobs === undefined) return { reason: 'malformed', problem: 'has binary data without an index line' };
  if (old.length > 0 && !blobId(old, format).startsWith(blobs.old)) {
    return {
      reason: 'does_not_apply',
      problem: `does not have the content ${blobs.old} that the binary change starts from`,
    };
  }
  const content = unpackBinary(binary!, old);
  if (content === undefined) return { reason: 'malformed', problem: 'has binary data that cannot be unpacked' };
  const isRight = content.length === 0 || blobId(content, format).startsWith(blobs.new);
  return isRight
    ? { content, offsets: [], lineEndsConverted: false }
    : { reason: 'malformed', problem: `does not become the content ${blobs.new} of the index line` };
}

function fails(
  section: FileSection,
  stage: SectionProblem['stage'],
  reason: SectionProblem['reason'],
  about: { path: string; problem: string; hunk?: number; offset?: number },
): AppliedSection {
  const { path, problem, hunk, offset } = about;
  const messages = `line ${section.line}: ${path} ${problem}`;
  const where = { ...(hunk === undefined ? {} : { hunk }), ...(offset === undefined ? {} : { offset }) };
  return { ok: false, problem: { stage, reason, evidence: { messages, line: section.line, path, ...where } } };
}
