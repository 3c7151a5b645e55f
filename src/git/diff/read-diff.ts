import { readContextHunks } from './context-hunks.ts';
import { DiffLines, type FileSection, MalformedDiff, type ReadDiff, type RepairNotes } from './diff-model.ts';
import { readGitSection, readNames } from './git-section.ts';
import { readHeaderName } from './header-name.ts';
import { assertProse, isUnifiedHeader, type ProsePlace, quietUntil } from './prose.ts';
import { isSignature, readUnifiedHunks } from './unified-hunks.ts';

const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf';
/** Header lines are matched by patterns, so longer ones are refused first. */
const MAX_HEADER_LENGTH = 20_000;
const HEADER_START = /^(diff |Index: |--- |\*\*\* |\+\+\+ |@@)/;

/**
 * Reads a diff in any format (git, unified, context). Every line must belong to a file's section or be prose that no
 * diff could start with. `text` holds bytes as Latin-1. Throws MalformedDiff with the line and what was expected there.
 * Returns no sections for a text without a diff.
 */
export function readDiff(text: string, { isMail = false }: { isMail?: boolean } = {}): ReadDiff {
  const repairs: RepairNotes = {};
  const cursor = new DiffLines(linesOf(text, repairs));
  const sections: FileSection[] = [];
  const place: ProsePlace = { isFirst: true, isMail, quietUntil: isMail ? quietUntil(cursor.lines) : 0 };
  let announced: { line: number; indexName: string | undefined } | undefined;
  while (!cursor.done) {
    if (!place.isFirst && isSignature(cursor)) break;
    if (HEADER_START.test(cursor.peek()!)) assertShort(cursor);
    const section = readSection(cursor, repairs);
    if (section !== undefined) {
      sections.push({ ...section, indexName: announced?.indexName, line: announced?.line ?? section.line });
      announced = undefined;
      place.isFirst = false;
      continue;
    }
    const told = readAnnouncement(cursor, place);
    if (told === undefined) {
      assertProse(cursor, place);
      cursor.take();
      continue;
    }
    // `diff -u old new` below `Index: name` announces the same file.
    if (announced !== undefined && (announced.indexName === undefined || told.indexName !== undefined)) {
      throw withoutContent(announced.line);
    }
    announced = { ...told, indexName: told.indexName ?? announced?.indexName };
  }
  if (announced !== undefined) throw withoutContent(announced.line);
  return { sections, repairs };
}

function linesOf(text: string, repairs: RepairNotes): string[] {
  let body = text;
  if (body.startsWith(BYTE_ORDER_MARK)) {
    body = body.slice(BYTE_ORDER_MARK.length);
    repairs.byte_order_mark_removed = true;
  }
  const lines = body.split('\n');
  if (lines.at(-1) === '') lines.pop();
  else repairs.newline_added = true;
  return lines;
}

function assertShort(cursor: DiffLines): void {
  if (cursor.peek()!.length <= MAX_HEADER_LENGTH) return;
  throw new MalformedDiff(cursor.number, `a header line has more than ${MAX_HEADER_LENGTH} bytes`);
}

function withoutContent(line: number): MalformedDiff {
  return new MalformedDiff(line, 'this header names a file, but no change of it follows');
}

/** Reads `Index: name` or `diff -u old new`, which a section of the named file must follow. */
function readAnnouncement(
  cursor: DiffLines,
  place: ProsePlace,
): { line: number; indexName: string | undefined } | undefined {
  const line = cursor.peek()!;
  const { number } = cursor;
  if (cursor.at < place.quietUntil) return undefined;
  const name = /^Index: (.+)$/.exec(line)?.[1];
  if (name === undefined && !/^diff -/.test(line)) return undefined;
  if (/^diff --(cc|combined) /.test(line))
    throw new MalformedDiff(number, 'a combined diff of a merge cannot be applied');
  cursor.take();
  return { line: number, indexName: name === undefined ? undefined : readHeaderName(name, number).name };
}

function readSection(cursor: DiffLines, repairs: RepairNotes): FileSection | undefined {
  const line = cursor.peek()!;
  const next = cursor.peek(1) ?? '';
  if (line.startsWith('diff --git ')) return readGitSection(cursor, repairs);
  if (isUnifiedHeader(cursor.lines, cursor.at)) {
    return { ...readNames(cursor), hunks: readUnifiedHunks(cursor, repairs) };
  }
  if (line.startsWith('*** ') && next.startsWith('--- ') && cursor.peek(2)?.startsWith('***************')) {
    return { ...readNames(cursor), hunks: readContextHunks(cursor) };
  }
  return undefined;
}
