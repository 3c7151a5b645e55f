import { readBinaryContent } from './binary-patch.ts';
import { DEV_NULL, type DiffLines, type FileSection, MalformedDiff, type RepairNotes } from './diff-model.ts';
import { differInPrefix, readGitNames, readHeaderName, unquote, withoutCarriageReturn } from './header-name.ts';
import { readUnifiedHunks } from './unified-hunks.ts';

/** Reads one file's section of a git diff, starting at its `diff --git` line. */
export function readGitSection(cursor: DiffLines, repairs: RepairNotes): FileSection {
  const section = emptySection(cursor);
  const { number } = cursor;
  const names = cursor.takeHeader().slice('diff --git '.length);
  section.gitNames = readGitNames(names, number);
  while (!cursor.done && readExtendedHeader(cursor, section));
  const line = cursor.peek() ?? '';
  if (line.startsWith('--- ') && cursor.peek(1)?.startsWith('+++ ')) {
    const { oldName, newName } = readNames(cursor);
    Object.assign(section, { oldName, newName });
    assertConsistent(section, withoutCarriageReturn(names));
    section.hunks = readUnifiedHunks(cursor, repairs);
    return section;
  }
  assertConsistent(section, withoutCarriageReturn(names));
  if (/^GIT binary patch\r?$/.test(line)) {
    cursor.take();
    return { ...section, binary: readBinaryContent(cursor) };
  }
  if (line.startsWith('Binary files ')) {
    throw new MalformedDiff(cursor.number, 'the content of a binary file is missing: make the diff with --binary');
  }
  assertComplete(section, cursor);
  return section;
}

/** Reads the two lines that name a file. Each mark (`--- `, `+++ `, `*** `) has four characters. */
export function readNames(cursor: DiffLines): FileSection {
  const section = emptySection(cursor);
  const { number } = cursor;
  section.oldName = readHeaderName(cursor.takeHeader().slice(4), number);
  section.newName = readHeaderName(cursor.takeHeader().slice(4), number + 1);
  return section;
}

function emptySection(cursor: DiffLines): FileSection {
  return {
    line: cursor.number,
    gitNames: undefined,
    headerLines: new Set(),
    oldName: undefined,
    newName: undefined,
    indexName: undefined,
    moved: undefined,
    declared: undefined,
    oldMode: undefined,
    newMode: undefined,
    blobs: undefined,
    hunks: [],
    binary: undefined,
    carriageReturns: cursor.peek()?.endsWith('\r') ?? false,
  };
}

/** Takes one line of an extended git header; returns false when the current line is none. */
function readExtendedHeader(cursor: DiffLines, section: FileSection): boolean {
  const line = withoutCarriageReturn(cursor.peek()!);
  const { number } = cursor;
  const mode = /^(old|new|new file|deleted file) mode (\d{6})$/.exec(line);
  const moved = /^(rename|copy) (from|to) (.+)$/.exec(line);
  const blobs = /^index ([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: (\d{6}))?$/.exec(line);
  const similarity = /^(dis)?similarity index \d{1,3}%$/.exec(line);
  if (mode !== null) {
    noteOnce(section, `${mode[1]} mode`, number);
    takeMode(section, mode[1]!, mode[2]!);
  } else if (moved !== null) {
    noteOnce(section, `${moved[1]} ${moved[2]}`, number);
    const known = section.moved ?? { kind: moved[1] as 'rename' | 'copy', from: '', to: '' };
    section.moved = { ...known, [moved[2]!]: unquote(moved[3]!, number) };
  } else if (blobs !== null) {
    noteOnce(section, 'index', number);
    section.blobs = { old: blobs[1]!, new: blobs[2]! };
    if (blobs[3] !== undefined) section.oldMode ??= blobs[3];
  } else if (similarity !== null) {
    noteOnce(section, `${similarity[1] ?? ''}similarity`, number);
    if (line === 'similarity index 100%') section.headerLines.add('similarity of 100%');
  } else {
    return false;
  }
  cursor.takeHeader();
  return true;
}

function takeMode(section: FileSection, kind: string, mode: string): void {
  if (kind === 'old' || kind === 'deleted file') section.oldMode = mode;
  else section.newMode = mode;
  if (kind === 'new file') section.declared = 'new';
  if (kind === 'deleted file') section.declared = 'deleted';
}

/** Refuses a second line of one kind: it belongs to another file, whose `diff --git` line was lost. */
function noteOnce({ headerLines, line }: FileSection, kind: string, number: number): void {
  if (headerLines.has(kind)) throw new MalformedDiff(number, `a second "${kind}" in the header of line ${line}`);
  headerLines.add(kind);
}

/** Header lines that must occur together (TOGETHER), and header lines that exclude each other (APART). */
const TOGETHER: readonly (readonly [string, string])[] = [
  ['old mode', 'new mode'],
  ['rename from', 'rename to'],
  ['copy from', 'copy to'],
];
const APART: readonly (readonly string[])[] = [
  ['new file mode', 'deleted file mode', 'old mode', 'rename from', 'copy from'],
];

/**
 * Throws when the lines of a header contradict each other. They then belong to several files, or one was edited by
 * hand, and part of a change would be lost.
 */
function assertConsistent(section: FileSection, gitLine: string): void {
  const { headerLines, line } = section;
  const has = (kind: string): boolean => headerLines.has(kind);
  const alone = TOGETHER.find(([one, other]) => has(one) !== has(other));
  if (alone !== undefined) throw new MalformedDiff(line, `the header has only one of "${alone[0]}" and "${alone[1]}"`);
  const apart = APART.map((kinds) => kinds.filter(has)).find((kinds) => kinds.length > 1 && !isMoveWithMode(kinds));
  if (apart !== undefined)
    throw new MalformedDiff(line, `the header has "${apart[0]}" and "${apart[1]}", which exclude each other`);
  const problem = section.moved === undefined ? namesProblem(section) : movedProblem(section, gitLine);
  if (problem !== undefined)
    throw new MalformedDiff(line, `the names in this header contradict each other: ${problem}`);
}

/** A file may be renamed or copied and change its mode in one section. */
function isMoveWithMode(kinds: readonly string[]): boolean {
  return kinds.length === 2 && kinds[0] === 'old mode';
}

function namesProblem({ gitNames, oldName, newName, declared, blobs }: FileSection): string | undefined {
  if (gitNames === undefined || gitNames === 'unclear') return 'the "diff --git" line does not name one file';
  if (gitNames.old !== gitNames.new && !differInPrefix(gitNames)) return 'two different files without a rename';
  const isRight = (name: string | undefined, expected: string, gone: boolean): boolean =>
    name === undefined || name === (gone ? DEV_NULL : expected);
  // /dev/null also marks a new or removed file when the line with its mode is missing.
  const isNew = declared === 'new' || (declared === undefined && oldName?.name === DEV_NULL);
  const isGone = declared === 'deleted' || (declared === undefined && newName?.name === DEV_NULL);
  // git always writes the mode of a new or removed file that has an index line, and the mode may say that it is a link.
  if (declared === undefined && blobs !== undefined && (isNew || isGone))
    return 'the line with the mode of the new or removed file is missing';
  if (!isRight(oldName?.name, gitNames.old, isNew)) return `"--- ${oldName?.name}"`;
  return isRight(newName?.name, gitNames.new, isGone) ? undefined : `"+++ ${newName?.name}"`;
}

function movedProblem({ gitNames, oldName, newName, moved }: FileSection, gitLine: string): string | undefined {
  const { from, to } = moved!;
  const isOf = (name: string | undefined, path: string): boolean =>
    name === undefined || name === path || name.endsWith(`/${path}`);
  if (!isOf(oldName?.name, from)) return `"--- ${oldName?.name}" does not name ${from}`;
  if (!isOf(newName?.name, to)) return `"+++ ${newName?.name}" does not name ${to}`;
  const fits =
    typeof gitNames === 'object'
      ? isOf(gitNames.old, from) && isOf(gitNames.new, to)
      : gitLine.endsWith(to) && gitLine.slice(0, -to.length).includes(from);
  return fits ? undefined : `the "diff --git" line does not name ${from} and ${to}`;
}

/** A git header without hunks is complete when it changes a mode or a name, or adds or removes an empty file. */
function assertComplete(section: FileSection, cursor: DiffLines): void {
  const { declared, blobs, moved, oldMode, newMode, line, headerLines } = section;
  const isChanged = headerLines.has('similarity') && !headerLines.has('similarity of 100%');
  const changesContent = isChanged || (blobs !== undefined && blobs.old !== blobs.new && declared === undefined);
  const saysSomething = declared !== undefined || moved !== undefined || (oldMode !== newMode && newMode !== undefined);
  if (changesContent || !saysSomething) {
    throw new MalformedDiff(cursor.number, `expected a hunk or binary data for the file of line ${line}`);
  }
}
