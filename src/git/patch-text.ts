/** What the header lines of a diff say, read before git sees any of it. */
export interface PatchHeaders {
  /** Every path named, without `a/` and `b/`. */
  paths: string[];
  /** How many leading folders git must strip: 1 for `a/…`, 0 when the names stand bare. */
  strip: 0 | 1;
  /** True when a hunk adds or removes at a line number alone (`diff -U 0`): git would guess where it belongs. */
  withoutContext: boolean;
  /** True when some hunk shows no line that stays: a whole file rewritten, or `diff -U 0` again. */
  mayLackContext: boolean;
}

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/;

/**
 * Reads unified diffs and git patches. Lines inside hunks are skipped by the hunk's own counts, so a removed line that
 * looks like a header is none.
 */
export function readPatchHeaders(text: string): PatchHeaders {
  const sides: { side: 'a' | 'b'; name: string }[] = [];
  const plain: string[] = [];
  let left = { old: 0, new: 0 };
  let withoutContext = false;
  let mayLackContext = false;
  let showsContext = true;
  for (const line of text.split('\n')) {
    if (left.old > 0 || left.new > 0) {
      if (line.startsWith(' ') || line === '') showsContext = true;
      left = skipHunkLine(line, left);
      if (left.old <= 0 && left.new <= 0) mayLackContext ||= !showsContext;
      continue;
    }
    const hunk = HUNK.exec(line);
    if (hunk !== null) {
      left = { old: Number(hunk[2] ?? 1), new: Number(hunk[4] ?? 1) };
      showsContext = false;
      // `-0,0` is a new file, `+0,0` a removed one; any other empty side stands between two lines that are not shown.
      withoutContext ||= (left.old === 0 && hunk[1] !== '0') || (left.new === 0 && hunk[3] !== '0');
    } else if (line.startsWith('--- ')) {
      sides.push({ side: 'a', name: fileName(line.slice(4)) });
    } else if (line.startsWith('+++ ')) {
      sides.push({ side: 'b', name: fileName(line.slice(4)) });
    } else if (line.startsWith('diff --git ')) {
      sides.push(...gitLineNames(line.slice('diff --git '.length)));
    } else {
      const moved = /^(?:rename|copy) (?:from|to) (.*)$/.exec(line)?.[1];
      if (moved !== undefined) plain.push(unquote(moved.trimEnd()));
    }
  }
  const named = sides.filter(({ name }) => name !== '/dev/null');
  const strip = named.every(({ side, name }) => name.startsWith(`${side}/`)) ? 1 : 0;
  const paths = [...named.map(({ name }) => name.slice(strip === 1 ? 2 : 0)), ...plain];
  return { paths: [...new Set(paths)], strip, withoutContext, mayLackContext };
}

function skipHunkLine(line: string, left: { old: number; new: number }): { old: number; new: number } {
  switch (line[0]) {
    case '-':
      return { old: left.old - 1, new: left.new };
    case '+':
      return { old: left.old, new: left.new - 1 };
    case '\\':
      return left;
    case ' ':
    case undefined:
    case '\r':
      return { old: left.old - 1, new: left.new - 1 };
    default:
      // Not a line of a hunk: the counts are wrong, and git will say so.
      return { old: 0, new: 0 };
  }
}

/** A name ends at a tab (a date may follow) or at the end of the line, unless it is quoted. */
function fileName(rest: string): string {
  const trimmed = rest.replace(/\r$/, '');
  if (trimmed.startsWith('"')) return unquote(trimmed.slice(0, closingQuote(trimmed) + 1));
  return trimmed.split('\t')[0]!.trimEnd();
}

/** `a/x b/x`: both halves name one file when nothing is renamed, which tells where the first ends. */
function gitLineNames(rest: string): { side: 'a' | 'b'; name: string }[] {
  const text = rest.replace(/\r$/, '');
  if (text.startsWith('"') || text.endsWith('"')) {
    const end = text.startsWith('"') ? closingQuote(text) + 1 : text.indexOf(' "');
    return pair(text.slice(0, end), text.slice(end + 1));
  }
  for (let space = text.indexOf(' '); space !== -1; space = text.indexOf(' ', space + 1)) {
    const [first, second] = [text.slice(0, space), text.slice(space + 1)];
    if (first.replace(/^a\//, '') === second.replace(/^b\//, '')) return pair(first, second);
  }
  // Renames carry their names on lines of their own.
  return [];
}

function pair(first: string, second: string): { side: 'a' | 'b'; name: string }[] {
  return [
    { side: 'a', name: unquote(first) },
    { side: 'b', name: unquote(second) },
  ];
}

function closingQuote(text: string): number {
  for (let i = 1; i < text.length; i += 1) {
    if (text[i] === '\\') i += 1;
    else if (text[i] === '"') return i;
  }
  return text.length - 1;
}

const ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13, '"': 34, '\\': 92 };

/** Takes git's C-style quotes away: `"t\303\251st"` is `tést`. */
export function unquote(text: string): string {
  if (!text.startsWith('"') || !text.endsWith('"') || text.length < 2) return text;
  const bytes: number[] = [];
  const inner = Buffer.from(text.slice(1, -1), 'utf8');
  for (let i = 0; i < inner.length; i += 1) {
    if (inner[i] !== 92) {
      bytes.push(inner[i]!);
      continue;
    }
    const octal = /^[0-3][0-7]{2}/.exec(inner.subarray(i + 1, i + 4).toString('latin1'))?.[0];
    if (octal !== undefined) {
      bytes.push(Number.parseInt(octal, 8));
      i += 3;
    } else {
      bytes.push(ESCAPES[String.fromCharCode(inner[i + 1] ?? 92)] ?? 63);
      i += 1;
    }
  }
  return Buffer.from(bytes).toString('utf8');
}
