import { hasPortableName, staysInside } from '../../contract/fields.ts';
import type { ObjectFormat } from '../object-store.ts';
import { type DraftFile, MODES, type TreeDraft } from '../tree-draft.ts';
import { blobId } from '../write-object.ts';
import { unpackBinary } from './binary-patch.ts';
import type { FileSection, Hunk } from './diff-model.ts';
import { applyHunks, type HunkOffset } from './place-hunks.ts';
import { namesIn, resolvePaths, type SectionPaths } from './section-paths.ts';

/** Told in the evidence of a patch that was taken. */
export interface SectionNotes {
  path: string;
  offsets: HunkOffset[];
  lineEndsConverted: boolean;
  otherThanIndexed: boolean;
}

export interface SectionProblem {
  /** `paths`: the names lead nowhere, so another strip level may be meant. */
  stage: 'paths' | 'content';
  reason: 'malformed' | 'does_not_apply' | 'unsafe_path' | 'submodule_entry';
  evidence: { messages: string; line: number; path: string; hunk?: number; offset?: number };
}

export type AppliedSection = { ok: true; notes: SectionNotes } | { ok: false; problem: SectionProblem };

export interface SectionScene {
  /** Changed by each section in turn. */
  draft: TreeDraft;
  /** As the diff found it: renames and copies of one diff all refer to that. */
  before: TreeDraft;
  /** Paths that the diff renames away or removes: another section may write them. */
  vacated: ReadonlySet<string>;
  /** Paths that a section of this diff has written. */
  written: Set<string>;
  /** Paths that a section of this diff has changed in place. */
  modified: Set<string>;
  /** Bytes of content that sections may still be applied to: many sections of one large file cost its size each time. */
  budget: { bytes: number };
  strip: number;
  exact: boolean;
  format: ObjectFormat;
}

/** Puts one section of a diff into the draft, or says why it cannot be; then nothing of it is in the draft. */
export async function applySection(section: FileSection, scene: SectionScene): Promise<AppliedSection> {
  // Renames and copies of one diff refer to the files as the diff found them.
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
    const problem = 'is changed so many times that its size adds up to too much';
    return fails(section, 'content', 'malformed', { path, problem });
  }
  const after = contentAfter(section, before, scene);
  if ('problem' in after) return fails(section, 'content', after.reason, { path, ...after });
  if (to === undefined && after.content.length > 0) {
    return fails(section, 'content', 'does_not_apply', { path, problem: 'holds more than the diff removes' });
  }
  if (to === from && after.content.equals(before) && mode === old?.mode) {
    return fails(section, 'content', 'malformed', { path, problem: 'is named and nothing of it changes' });
  }
  write(scene, { paths, mode, content: after.content });
  const { offsets, lineEndsConverted } = after;
  const otherThanIndexed = isOtherThanIndexed(section, { before, after: after.content, format: scene.format });
  return { ok: true, notes: { path, offsets, lineEndsConverted, otherThanIndexed } };
}

/** The index line says what the old content becomes, and it became something else: the diff was cut or edited. */
function isOtherThanIndexed(
  { blobs, hunks }: FileSection,
  { before, after, format }: { before: Buffer; after: Buffer; format: ObjectFormat },
): boolean {
  if (blobs === undefined || hunks.length === 0 || !blobId(before, format).startsWith(blobs.old)) return false;
  return after.length > 0 && !blobId(after, format).startsWith(blobs.new);
}

/** Where the section reads and writes; a refusal where its names lead nowhere, out of the repository, or onto another file. */
function pathsOf(section: FileSection, scene: SectionScene, source: TreeDraft): SectionPaths | AppliedSection {
  const { draft, before, strip, vacated, modified } = scene;
  const absolute = namesIn(section).find((name) => name.startsWith('/'));
  if (absolute !== undefined) {
    return fails(section, 'content', 'unsafe_path', { path: absolute, problem: 'is an absolute path' });
  }
  if (section.newName?.nonexistent) {
    const problem = 'is removed in the words of svn, which other tools read as an empty file: send a git diff';
    return fails(section, 'content', 'malformed', { path: section.newName.name, problem });
  }
  const paths = resolvePaths(section, strip, (path) => source.find(path) !== undefined);
  if ('problem' in paths) return fails(section, 'paths', 'does_not_apply', paths);
  const [from, to] = [fromOf(paths), toOf(paths)];
  const unsafe = [from, to].find((path) => path !== undefined && isUnsafe(path, before));
  if (unsafe !== undefined) {
    const problem = 'is not a path inside the repository that may be written';
    return fails(section, 'content', 'unsafe_path', { path: unsafe, problem });
  }
  if (paths.kind === 'renamed' && modified.has(paths.from)) {
    const problem = 'is changed and then renamed in one diff, which are two commits: send them as mails';
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

/** The mode that the file gets; a refusal where the section is of another kind of file. */
function modeAfter(section: FileSection, old: DraftFile | undefined): string | Refused {
  const { oldMode, newMode } = section;
  const submodule = { reason: 'submodule_entry', problem: 'is a submodule, and submodules are not supported' } as const;
  if (old?.mode === MODES.submodule || [oldMode, newMode].includes(MODES.submodule)) return submodule;
  const [declaredOld, declaredNew] = [canonical(oldMode), canonical(newMode)];
  if (declaredOld === 'unknown' || declaredNew === 'unknown') {
    return { reason: 'malformed', problem: `has a mode that git does not know: ${newMode ?? oldMode}` };
  }
  // A move without a change of content names no mode: the old one holds.
  const speaksOfKind = section.moved === undefined || declaredOld !== undefined;
  if (old !== undefined && speaksOfKind && isLink(old.mode) !== isLink(declaredOld ?? MODES.file)) {
    const problem = isLink(old.mode)
      ? 'is a symbolic link, and the diff is of a file'
      : 'is a file, and the diff is of a symbolic link';
    return { reason: 'does_not_apply', problem };
  }
  return declaredNew ?? old?.mode ?? MODES.file;
}

function isLink(mode: string): boolean {
  return mode === MODES.link;
}

/** As git stores it: of a file's permissions only the executable bit counts. */
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
  // A system that writes CRLF converted the headers as well; the file itself may have them too.
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

/** A change of mode or name alone, or an empty file: anything else would have lost its content on the way. */
function contentWithoutHunks({ declared, blobs }: FileSection, old: Buffer, format: ObjectFormat): Content | Refused {
  if (declared === 'new' && blobs !== undefined && !blobId(old, format).startsWith(blobs.new)) {
    return { reason: 'malformed', problem: `is new with the content ${blobs.new}, which the diff does not hold` };
  }
  return { content: old, offsets: [], lineEndsConverted: false };
}

function withoutCarriageReturns(hunks: readonly Hunk[]): Hunk[] {
  return hunks.map((hunk) => ({
    ...hunk,
    lines: hunk.lines.map(({ kind, text }) => ({ kind, text: text.replace(/\r(\n?)$/, '$1') })),
  }));
}

/** A binary change is taken only between the very contents that its `index` line names. */
function binaryContent({ binary, blobs }: FileSection, old: Buffer, format: ObjectFormat): Content | Refused {
  if (blobs === undefined) return { reason: 'malformed', problem: 'has binary data without an index line' };
  if (old.length > 0 && !blobId(old, format).startsWith(blobs.old)) {
    return { reason: 'does_not_apply', problem: `is not the content ${blobs.old} that the binary change is of` };
  }
  const content = unpackBinary(binary!, old);
  if (content === undefined) return { reason: 'malformed', problem: 'has binary data that cannot be unpacked' };
  const isRight = content.length === 0 || blobId(content, format).startsWith(blobs.new);
  return isRight
    ? { content, offsets: [], lineEndsConverted: false }
    : { reason: 'malformed', problem: `becomes another content than ${blobs.new}` };
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
