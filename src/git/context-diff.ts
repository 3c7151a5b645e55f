/** A context diff that cannot be read as one. */
export class ContextDiffError extends Error {}

interface Side {
  start: number;
  count: number;
  lines: string[];
}

// With their dates: git reads the epoch as "there is no such file", as it does in unified diffs.
const FILE_OLD = /^\*\*\* (?!\d+(?:,\d+)? \*{4})(.+)$/;
const FILE_NEW = /^--- (?!\d+(?:,\d+)? -{4})(.+)$/;
const HUNK_START = /^\*{15}/;
const OLD_RANGE = /^\*\*\* (\d+)(?:,(\d+))? \*\*\*\*/;
const NEW_RANGE = /^--- (\d+)(?:,(\d+))? ----/;
const NO_NEWLINE = '\\ No newline at end of file';

/** Rewrites a context diff (`diff -c`) as a unified one: git reads only those. Throws ContextDiffError. */
export function contextToUnified(text: string): string {
  // Where the header lines end in CR the whole diff was converted; otherwise a CR belongs to the file.
  const converted = /^\*{3} .*\r$/m.test(text);
  const lines = (converted ? text.replaceAll('\r\n', '\n') : text).split('\n');
  if (lines.at(-1) === '') lines.pop();
  const out: string[] = [];
  let at = 0;
  while (at < lines.length) {
    const oldName = FILE_OLD.exec(lines[at]!)?.[1];
    const newName = oldName === undefined ? undefined : FILE_NEW.exec(lines[at + 1] ?? '')?.[1];
    if (oldName === undefined || newName === undefined) {
      at += 1;
      continue;
    }
    out.push(`--- ${oldName}`, `+++ ${newName}`);
    at += 2;
    let hunks = 0;
    while (HUNK_START.test(lines[at] ?? '')) {
      const { text: hunk, next } = readHunk(lines, at + 1);
      out.push(...hunk);
      at = next;
      hunks += 1;
    }
    if (hunks === 0) throw new ContextDiffError(`no hunk after the names of ${newName}`);
  }
  if (out.length === 0) throw new ContextDiffError('no file header of a context diff');
  return `${out.join('\n')}\n`;
}

function readHunk(lines: readonly string[], from: number): { text: string[]; next: number } {
  const oldHead = OLD_RANGE.exec(lines[from] ?? '');
  if (oldHead === null) throw new ContextDiffError(`line ${from + 1}: the old range is missing`);
  const old = readSide(lines, from + 1, oldHead, /^[ !-] |^[ !-]$|^\\ /);
  const newHead = NEW_RANGE.exec(lines[old.next] ?? '');
  if (newHead === null) throw new ContextDiffError(`line ${old.next + 1}: the new range is missing`);
  const fresh = readSide(lines, old.next + 1, newHead, /^[ !+] |^[ !+]$|^\\ /);
  const [oldLines, newLines] = [fill(old.side, fresh.side), fill(fresh.side, old.side)];
  const body = weave(oldLines, newLines);
  const header = `@@ -${range(old.side, oldLines)} +${range(fresh.side, newLines)} @@`;
  return { text: [header, ...body], next: fresh.next };
}

function readSide(
  lines: readonly string[],
  from: number,
  head: RegExpExecArray,
  isLine: RegExp,
): { side: Side; next: number } {
  const first = Number(head[1]);
  const last = Number(head[2] ?? head[1]);
  const count = last === 0 ? 0 : last - first + 1;
  const side: Side = { start: first, count, lines: [] };
  let next = from;
  while (next < lines.length && isLine.test(lines[next]!) && !NEW_RANGE.test(lines[next]!)) {
    side.lines.push(lines[next]!);
    next += 1;
  }
  return { side, next };
}

/** A side without changes is left out of a context diff: it is the unchanged lines of the other. */
function fill(side: Side, other: Side): string[] {
  return side.lines.length > 0 || side.count === 0 ? side.lines : other.lines.filter((line) => line.startsWith(' '));
}

function weave(old: readonly string[], fresh: readonly string[]): string[] {
  const out: string[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < fresh.length) {
    const [a, b] = [old[i], fresh[j]];
    if (a !== undefined && isRemoval(a)) {
      out.push(`-${a.slice(2)}`);
      i = pushNoNewline(old, i + 1, out);
    } else if (b !== undefined && isAddition(b)) {
      out.push(`+${b.slice(2)}`);
      j = pushNoNewline(fresh, j + 1, out);
    } else if (a !== undefined && b !== undefined && a.slice(2) === b.slice(2)) {
      out.push(` ${a.slice(2)}`);
      j = Math.max(j + 1, old[i + 1] === NO_NEWLINE ? j + 2 : j + 1);
      i = pushNoNewline(old, i + 1, out);
    } else {
      throw new ContextDiffError(`the two sides of a hunk disagree at ${JSON.stringify(a ?? b)}`);
    }
  }
  return out;
}

function pushNoNewline(lines: readonly string[], at: number, out: string[]): number {
  if (lines[at] !== NO_NEWLINE) return at;
  out.push(NO_NEWLINE);
  return at + 1;
}

function isRemoval(line: string): boolean {
  return line.startsWith('- ') || line.startsWith('! ') || line === '-' || line === '!';
}

function isAddition(line: string): boolean {
  return line.startsWith('+ ') || line.startsWith('! ') || line === '+' || line === '!';
}

/** Without context a one-line range may stand for no line at all: the place after it. */
function range({ start, count }: Side, lines: readonly string[]): string {
  const shown = count === 1 && lines.length === 0 ? 0 : count;
  return shown === 1 ? String(start) : `${start},${shown}`;
}
