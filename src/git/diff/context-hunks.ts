import { type DiffLines, type Hunk, type HunkLine, MalformedDiff } from './diff-model.ts';

const HUNK_START = /^\*{15}/;
const OLD_RANGE = /^\*\*\* (\d{1,10})(?:,(\d{1,10}))? \*{4}\r?$/;
const NEW_RANGE = /^--- (\d{1,10})(?:,(\d{1,10}))? -{4}\r?$/;
const NO_NEWLINE = /^\\ /;

/** One side of a hunk as written: marked lines, or none when this side has no change. */
interface Side {
  line: number;
  start: number;
  count: number;
  lines: { mark: string; text: string }[];
}

/** Reads the hunks of a context diff (`diff -c`) that follow its file names. */
export function readContextHunks(cursor: DiffLines): Hunk[] {
  const hunks: Hunk[] = [];
  while (HUNK_START.test(cursor.peek() ?? '')) hunks.push(readHunk(cursor));
  if (hunks.length === 0) throw new MalformedDiff(cursor.number, 'expected a hunk after the file names');
  return hunks;
}

function readHunk(cursor: DiffLines): Hunk {
  const { number: line } = cursor;
  cursor.take();
  const old = readSide(cursor, OLD_RANGE, /^[ !-]( |\r?$)/);
  const fresh = readSide(cursor, NEW_RANGE, /^[ !+]( |\r?$)/);
  const oldLines = linesOf(old, fresh);
  const freshLines = linesOf(fresh, old);
  const lines = weave(oldLines, freshLines, line);
  // Without context, a range of one line may only name the line after which lines are inserted.
  const insertsAfter = oldLines.length === 0;
  return { line, oldStart: insertsAfter && old.count === 0 ? 0 : old.start, lines };
}

function readSide(cursor: DiffLines, range: RegExp, isLine: RegExp): Side {
  const head = range.exec(cursor.peek() ?? '');
  const wanted = range === OLD_RANGE ? '"*** first,last ****"' : '"--- first,last ----"';
  if (head === null) throw new MalformedDiff(cursor.number, `expected ${wanted}`);
  const { number: line } = cursor;
  cursor.take();
  const [first, last] = [Number(head[1]), Number(head[2] ?? head[1])];
  const side: Side = { line, start: first, count: last === 0 ? 0 : last - first + 1, lines: [] };
  while (!cursor.done && side.lines.length < side.count && isLine.test(cursor.peek()!)) {
    const text = cursor.take();
    side.lines.push({ mark: text[0]!, text: `${text.slice(2)}\n` });
    if (NO_NEWLINE.test(cursor.peek() ?? '')) {
      cursor.take();
      side.lines.at(-1)!.text = side.lines.at(-1)!.text.slice(0, -1);
    }
  }
  const next = cursor.peek();
  // `--- ` may start the range of the other side, or the name of the next file.
  if (next !== undefined && isLine.test(next) && !/^--- /.test(next) && !/^-- ?\r?$/.test(next)) {
    throw new MalformedDiff(cursor.number, `the range of line ${line} counts ${side.count} lines, but more follow`);
  }
  return side;
}

/** A context diff leaves out a side without changes: it consists of the unchanged lines of the other side. */
function linesOf(side: Side, other: Side): Side['lines'] {
  const lines = side.lines.length > 0 ? side.lines : other.lines.filter(({ mark }) => mark === ' ');
  const isPlace = lines.length === 0 && side.count === 1;
  if (lines.length !== side.count && !isPlace) {
    throw new MalformedDiff(side.line, `expected ${side.count} lines after the range and found ${lines.length}`);
  }
  return lines;
}

function weave(old: Side['lines'], fresh: Side['lines'], line: number): HunkLine[] {
  const woven: HunkLine[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < fresh.length) {
    const removed = changedFrom(old, i);
    const added = changedFrom(fresh, j);
    assertPaired(removed, added, line);
    for (const { text } of removed) woven.push({ kind: 'removed', text });
    for (const { text } of added) woven.push({ kind: 'added', text });
    i += removed.length;
    j += added.length;
    if (removed.length > 0 || added.length > 0) continue;
    if (old[i]?.text !== fresh[j]?.text) throw disagreement(line);
    woven.push({ kind: 'context', text: old[i]!.text });
    i += 1;
    j += 1;
  }
  return woven;
}

/** Returns the run of changed lines that starts at `from`. */
function changedFrom(lines: Side['lines'], from: number): Side['lines'] {
  let end = from;
  while (end < lines.length && lines[end]!.mark !== ' ') end += 1;
  return lines.slice(from, end);
}

/** Checks the marks of one change: `!` must occur on both sides, `-` and `+` on their own side alone. */
function assertPaired(removed: Side['lines'], added: Side['lines'], line: number): void {
  const marks = new Set([...removed, ...added].map(({ mark }) => mark));
  const isChange = marks.has('!');
  if (marks.size > 1 || (isChange && (removed.length === 0 || added.length === 0))) throw disagreement(line);
  if (!isChange && removed.length > 0 && added.length > 0) throw disagreement(line);
}

function disagreement(line: number): MalformedDiff {
  return new MalformedDiff(line, 'the two sides of this hunk disagree about which lines change');
}
