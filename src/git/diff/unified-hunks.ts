import { isDiffLike } from './diff-like.ts';
import { type DiffLines, type Hunk, type HunkLine, MalformedDiff, type RepairNotes } from './diff-model.ts';

const HEADER = /^@@ -(\d{1,10})(?:,(\d{1,10}))? \+(\d{1,10})(?:,(\d{1,10}))? @@/;
const NO_NEWLINE = /^\\ /;
/** Up to this many blank context lines at the end of the input may have been trimmed; GNU patch assumes the same. */
const MAX_TRIMMED_LINES = 2;

/** Reads the hunks that follow a header. Throws MalformedDiff when there is none, or when one breaks its own counts. */
export function readUnifiedHunks(cursor: DiffLines, repairs: RepairNotes): Hunk[] {
  const hunks: Hunk[] = [];
  while (cursor.peek()?.startsWith('@@')) hunks.push(readHunk(cursor, repairs));
  if (hunks.length === 0) throw new MalformedDiff(cursor.number, 'expected a hunk after the file names');
  return hunks;
}

function readHunk(cursor: DiffLines, repairs: RepairNotes): Hunk {
  const line = cursor.number;
  const header = HEADER.exec(cursor.take());
  if (header === null) throw new MalformedDiff(line, 'expected "@@ -line,count +line,count @@"');
  const left = { old: Number(header[2] ?? 1), fresh: Number(header[4] ?? 1) };
  const hunk: Hunk = { line, oldStart: Number(header[1]), lines: [] };
  if (hunk.oldStart === 0 && left.old > 0)
    throw new MalformedDiff(line, 'a hunk with old lines cannot start at line 0');
  while (left.old > 0 || left.fresh > 0) {
    if (cursor.done) addTrimmedLines(cursor, { hunk, left, repairs });
    else readLine(cursor, { hunk, left });
  }
  while (NO_NEWLINE.test(cursor.peek() ?? '')) endWithoutNewline(cursor, hunk);
  refuseMoreLines(cursor, hunk);
  return hunk;
}

function readLine(cursor: DiffLines, { hunk, left }: { hunk: Hunk; left: { old: number; fresh: number } }): void {
  const line = cursor.peek()!;
  if (NO_NEWLINE.test(line)) {
    endWithoutNewline(cursor, hunk);
    return;
  }
  const kind = kindOf(line);
  const wanted = `${left.old} more old and ${left.fresh} more new lines of the hunk at line ${hunk.line}`;
  if (kind === undefined) throw new MalformedDiff(cursor.number, `expected ${wanted}`);
  if (kind !== 'added') left.old -= 1;
  if (kind !== 'removed') left.fresh -= 1;
  if (left.old < 0 || left.fresh < 0) {
    throw new MalformedDiff(
      cursor.number,
      `the lines of the hunk at line ${hunk.line} do not match the counts in its header`,
    );
  }
  cursor.take();
  hunk.lines.push({ kind, text: `${/^[ +-]/.test(line) ? line.slice(1) : line}\n` });
}

/** Returns the kind of a hunk line. A blank context line often loses its space. */
function kindOf(line: string): HunkLine['kind'] | undefined {
  switch (line[0]) {
    case ' ':
    case undefined:
    case '\r':
      return 'context';
    case '-':
      return 'removed';
    case '+':
      return 'added';
    default:
      return undefined;
  }
}

/** Applies `\ No newline at end of file` to the line before it. */
function endWithoutNewline(cursor: DiffLines, hunk: Hunk): void {
  const last = hunk.lines.at(-1);
  if (!last?.text.endsWith('\n'))
    throw new MalformedDiff(cursor.number, 'there is no line before this one whose newline could be missing');
  cursor.take();
  last.text = last.text.slice(0, -1);
}

/** Restores the blank context lines that were trimmed from the end of the input. */
function addTrimmedLines(
  cursor: DiffLines,
  { hunk, left, repairs }: { hunk: Hunk; left: { old: number; fresh: number }; repairs: RepairNotes },
): void {
  const missing = left.old;
  if (left.old !== left.fresh || missing > MAX_TRIMMED_LINES) {
    const wanted = `${left.old} more old and ${left.fresh} more new lines`;
    throw new MalformedDiff(cursor.number, `the input ends inside the hunk at line ${hunk.line}: expected ${wanted}`);
  }
  for (let n = 0; n < missing; n += 1) hunk.lines.push({ kind: 'context', text: '\n' });
  repairs.blank_lines_added = missing;
  left.old = 0;
  left.fresh = 0;
}

/** Refuses further hunk lines after the counted ones: git and patch skip them, and a partial change would land. */
function refuseMoreLines(cursor: DiffLines, hunk: Hunk): void {
  const line = cursor.peek();
  if (line === undefined || !/^[ +\\-]/.test(line) || isSignature(cursor) || /^--- \S/.test(line)) return;
  throw new MalformedDiff(cursor.number, `the hunk at line ${hunk.line} has more lines than its header counts`);
}

/** True for `-- ` and the rest of a mail, when no line of it could belong to a hunk or a header. */
export function isSignature(cursor: DiffLines): boolean {
  if (!/^-- ?\r?$/.test(cursor.peek() ?? '')) return false;
  const rest = cursor.lines.slice(cursor.at + 1);
  return rest.some((line) => line.trim() !== '') && !rest.some((line) => /^[ +\\@-]/.test(line) || isDiffLike(line));
}
