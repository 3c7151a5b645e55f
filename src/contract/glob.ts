/** One character of a part of a path, or a run of any characters. */
type Token =
  | { kind: 'character'; character: string }
  | { kind: 'class'; negated: boolean; ranges: readonly (readonly [string, string])[] }
  | { kind: 'one' }
  | { kind: 'run' };

/** One part between slashes; `globstar` matches any number of parts, including none. */
type Part = 'globstar' | readonly Token[];
type Pattern = readonly Part[];

export type PathMatcher = (path: string) => boolean;

const MAX_ALTERNATIVES = 64;
const EXTENDED = /[@!?+*]\(/;
const RANGE = /\{[^{},]*\.\.[^{},]*\}/;
const WILDCARD = /[*?[]/;

/** Returns why a glob cannot be used; undefined when it can. */
export function globProblem(glob: string): string | undefined {
  if (EXTENDED.test(glob)) return 'extended patterns such as @(a|b) are not supported: {a,b} is';
  if (RANGE.test(glob)) return 'ranges such as {1..3} are not supported: {1,2,3} are';
  if (alternativesOf(glob) === undefined) return `more than ${MAX_ALTERNATIVES} alternatives in braces`;
  if (partsOf(glob).length === 0 || partsOf(glob).includes('..')) return 'matches no path';
  return undefined;
}

/**
 * `*` and `?` stay inside a part, `**` crosses folders, `[a-z]` and `{a,b}` work as in a shell, dot files match, and a
 * leading slash is ignored. A glob matches whole paths; a folder includes its content, so `x` and `x/` also match
 * `x/**`. Takes time in proportion to glob and path, whatever they hold. `anyCase`: compares names as a file system
 * that ignores case.
 */
export function pathMatcher(globs: readonly string[], { anyCase = false } = {}): PathMatcher {
  const fold = anyCase ? foldedName : (text: string) => text;
  const patterns = globs.flatMap((glob) => alternativesOf(fold(glob)) ?? []).map(compile);
  return (path) => {
    const parts = fold(path).split('/');
    return patterns.some((pattern) => matchesParts(pattern, parts));
  };
}

/** Returns the same text for names that some file system takes for one another. */
function foldedName(text: string): string {
  return text
    .replaceAll(/[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g, '')
    .normalize('NFC')
    .toLowerCase();
}

function compile(glob: string): Pattern {
  const parts = partsOf(glob);
  const isLiteral = (part: string | undefined) => part !== undefined && !WILDCARD.test(part);
  if (glob.endsWith('/') || isLiteral(parts.at(-1))) parts.push('**');
  const pattern = parts.map((part): Part => (part === '**' ? 'globstar' : tokensOf(part)));
  // `x/**` also matches x itself; `*/**` matches only paths inside some folder.
  const before = parts.at(-2);
  const liesBelow = parts.at(-1) === '**' && before !== undefined && before !== '**' && !isLiteral(before);
  return liesBelow ? [...pattern, [{ kind: 'run' }]] : pattern;
}

function partsOf(glob: string): string[] {
  return glob.split('/').filter((part) => part !== '' && part !== '.');
}

function tokensOf(part: string): Token[] {
  const tokens: Token[] = [];
  const characters = [...part];
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at]!;
    if (character === '*') {
      if (tokens.at(-1)?.kind !== 'run') tokens.push({ kind: 'run' });
    } else if (character === '?') {
      tokens.push({ kind: 'one' });
    } else if (character === '[') {
      const end = classEnd(characters, at);
      tokens.push(end === -1 ? { kind: 'character', character } : classOf(characters.slice(at + 1, end)));
      if (end !== -1) at = end;
    } else if (character === '\\' && at + 1 < characters.length) {
      at += 1;
      tokens.push({ kind: 'character', character: characters[at]! });
    } else {
      tokens.push({ kind: 'character', character });
    }
  }
  return tokens;
}

/** Returns the index of the `]` that ends the class at `start`, or -1. A `]` as the first character is a member. */
function classEnd(characters: readonly string[], start: number): number {
  const first = start + (/[!^]/.test(characters[start + 1] ?? '') ? 2 : 1);
  return characters.indexOf(']', first + 1);
}

function classOf(content: readonly string[]): Token {
  const negated = /[!^]/.test(content[0] ?? '');
  const members = negated ? content.slice(1) : content;
  const ranges: [string, string][] = [];
  for (let at = 0; at < members.length; at += 1) {
    const [from, dash, to] = members.slice(at, at + 3);
    if (dash === '-' && to !== undefined) {
      ranges.push([from!, to]);
      at += 2;
    } else {
      ranges.push([from!, from!]);
    }
  }
  return { kind: 'class', negated, ranges };
}

function matchesParts(pattern: Pattern, parts: readonly string[]): boolean {
  return matchesRow(pattern, parts, {
    isRun: (part) => part === 'globstar',
    fits: (part, text) => part !== 'globstar' && matchesPart(part, text),
  });
}

function matchesPart(tokens: readonly Token[], part: string): boolean {
  return matchesRow(tokens, [...part], { isRun: ({ kind }) => kind === 'run', fits: matchesOne });
}

/** Uses two pointers and backtracks only to the last run, because the pieces before it match wherever it begins. */
function matchesRow<Piece, Item>(
  pattern: readonly Piece[],
  items: readonly Item[],
  { isRun, fits }: { isRun: (piece: Piece) => boolean; fits: (piece: Piece, item: Item) => boolean },
): boolean {
  let [at, of] = [0, 0];
  let back: { at: number; of: number } | undefined;
  while (of < items.length) {
    const piece = pattern[at];
    if (piece !== undefined && isRun(piece)) {
      at += 1;
      back = { at, of };
    } else if (piece !== undefined && fits(piece, items[of]!)) {
      at += 1;
      of += 1;
    } else if (back !== undefined) {
      back.of += 1;
      ({ at, of } = back);
    } else {
      return false;
    }
  }
  return pattern.slice(at).every(isRun);
}

function matchesOne(token: Token, character: string): boolean {
  switch (token.kind) {
    case 'character':
      return token.character === character;
    case 'one':
      return true;
    case 'class':
      return token.ranges.some(([from, to]) => from <= character && character <= to) !== token.negated;
    case 'run':
      return false;
    default:
      return token satisfies never;
  }
}

/** Expands `a{b,c}d` to `abd` and `acd`; braces without a comma or an end are literal. Undefined for too many. */
function alternativesOf(glob: string): string[] | undefined {
  let open = [glob];
  const done: string[] = [];
  while (open.length > 0) {
    const next: string[] = [];
    for (const text of open) {
      const group = firstGroup(text);
      if (group === undefined) done.push(text);
      else next.push(...group.choices.map((choice) => `${group.before}${choice}${group.after}`));
      if (next.length + done.length > MAX_ALTERNATIVES) return undefined;
    }
    open = next;
  }
  return done;
}

/** Finds the first outermost pair of braces that holds a comma at its own depth. */
function firstGroup(text: string): { before: string; choices: string[]; after: string } | undefined {
  const opened: { at: number; commas: number[] }[] = [];
  let outermost: { at: number; commas: number[]; end: number } | undefined;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]!;
    if (character === '\\') at += 1;
    else if (character === '{') opened.push({ at, commas: [] });
    else if (character === ',') opened.at(-1)?.commas.push(at);
    else if (character === '}' && opened.length > 0) {
      const { at: start, commas } = opened.pop()!;
      if (commas.length > 0) outermost = { at: start, commas, end: at };
      if (outermost !== undefined && opened.length === 0) break;
    }
  }
  if (outermost === undefined) return undefined;
  const { at: start, commas, end } = outermost;
  const edges = [start, ...commas, end];
  const choices = edges.slice(1).map((edge, index) => text.slice(edges[index]! + 1, edge));
  return { before: text.slice(0, start), choices, after: text.slice(end + 1) };
}
