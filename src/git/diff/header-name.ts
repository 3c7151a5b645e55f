import { type HeaderName, MalformedDiff } from './diff-model.ts';

const DATE = / {1,8}(\d{4}-\d\d-\d\d[ T]\d\d:\d\d.{0,40}|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{5,8} \d{4}.{0,10})$/;
/** The widest offset from UTC. A date without a zone this close to the epoch counts as the epoch. */
const ZONE_MS = 14 * 3_600_000;

/** Reads the rest of a `--- ` or `+++ ` line: a name, possibly quoted, and an optional date. */
export function readHeaderName(rest: string, line: number): HeaderName {
  const text = withoutCarriageReturn(rest);
  if (text.startsWith('"')) {
    const end = closingQuote(text) + 1;
    return withDate(unquote(text.slice(0, end), line), text.slice(end).trim());
  }
  const tab = text.indexOf('\t');
  if (tab !== -1) return withDate(text.slice(0, tab), text.slice(tab).trim());
  const date = DATE.exec(text);
  return date === null ? withDate(withoutBlanks(text), '') : withDate(text.slice(0, date.index), date[1]!);
}

function withDate(name: string, date: string): HeaderName {
  return { name, epoch: isEpoch(date), nonexistent: date === '(nonexistent)' };
}

/**
 * Splits the names of a `diff --git` line. Without a rename both halves name one file, which tells where the first
 * ends. A rename carries its names on lines of their own, so for it the result may stay `unclear`.
 */
export function readGitNames(rest: string, line: number): { old: string; new: string } | 'unclear' {
  const text = withoutCarriageReturn(rest);
  if (text.startsWith('"') || text.endsWith('"')) {
    const end = text.startsWith('"') ? closingQuote(text) + 1 : text.indexOf(' "');
    if (end <= 0 || text[end] !== ' ') return 'unclear';
    return { old: unquote(text.slice(0, end), line), new: unquote(text.slice(end + 1), line) };
  }
  // Both halves have equal length except for the prefixes, so only a blank near the middle can separate them.
  const found: { old: string; new: string }[] = [];
  for (let space = text.indexOf(' '); space !== -1; space = text.indexOf(' ', space + 1)) {
    if (Math.abs(text.length - 1 - 2 * space) > MAX_PREFIX) continue;
    const halves = { old: text.slice(0, space), new: text.slice(space + 1) };
    if (halves.old === halves.new || differInPrefix(halves)) found.push(halves);
  }
  return found.length === 1 ? found[0]! : 'unclear';
}

/** The two prefixes of a `diff --git` line may differ in length by at most this many characters. */
const MAX_PREFIX = 64;

/** True for names such as `a/x` and `b/x`, which differ in their first folder only. */
export function differInPrefix(names: { old: string; new: string }): boolean {
  const rest = withoutFirstFolder(names.old);
  return names.old !== names.new && rest !== undefined && rest === withoutFirstFolder(names.new);
}

/** Returns the name without its first folder; undefined when it has no folder. */
export function withoutFirstFolder(name: string): string | undefined {
  const slash = name.indexOf('/');
  return slash === -1 ? undefined : name.slice(slash + 1);
}

/** Strips folders as `patch -pN` does: a run of slashes counts once, `.` is dropped. Undefined when too few. */
export function stripFolders(name: string, count: number): string | undefined {
  const parts = name.split(/\/+/);
  if (parts.length <= count) return undefined;
  const left = parts.slice(count).filter((part) => part !== '.');
  return left.length === 0 || left.at(-1) === '' ? undefined : left.join('/');
}

/** The text is bytes in Latin-1, so JavaScript's own trim would remove the last byte of a `à`. */
function withoutBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && ' \t\r'.includes(text[end - 1]!)) end -= 1;
  return text.slice(0, end);
}

export function withoutCarriageReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}

function isEpoch(date: string): boolean {
  if (!/^(1970-01-01|1969-12-31|[A-Z][a-z]{2} (Jan {2}1|Dec 31) )/.test(date)) return false;
  const zoned = /[+-]\d{4}$/.test(date);
  const instant = date.replace(/(\d\d:\d\d:\d\d)\.\d+/, '$1').replace(/^(\d{4}-\d\d-\d\d) /, '$1T');
  const ms = Date.parse(zoned ? instant.replace(/ ?([+-]\d\d)(\d\d)$/, '$1:$2') : `${instant}${zoneOf(instant)}`);
  return zoned ? ms === 0 : Math.abs(ms) <= ZONE_MS;
}

function zoneOf(instant: string): string {
  return instant.includes('T') ? 'Z' : ' UTC';
}

function closingQuote(text: string): number {
  for (let i = 1; i < text.length; i += 1) {
    if (text[i] === '\\') i += 1;
    else if (text[i] === '"') return i;
  }
  return text.length - 1;
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  t: '\t',
  n: '\n',
  v: '\v',
  f: '\f',
  r: '\r',
  '"': '"',
  '\\': '\\',
};

/** Removes git's C-style quotes; the result holds bytes as Latin-1: `"t\303\251st"` is the UTF-8 of `tést`. */
export function unquote(text: string, line: number): string {
  if (!text.startsWith('"') || !text.endsWith('"') || text.length < 2) return text;
  return text.slice(1, -1).replace(/\\([0-3][0-7]{2}|[\s\S]|$)/g, (_all, code: string) => {
    const character = code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : ESCAPES[code];
    if (character === undefined) throw new MalformedDiff(line, `\\${code} is not a valid escape in a quoted file name`);
    return character;
  });
}
