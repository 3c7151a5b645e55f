import type { Hunk } from './diff-model.ts';

/** A hunk that fits, but not at the line of its header. */
export interface HunkOffset {
  hunk: number;
  line: number;
  /** Number of lines below the one in the header; negative when above. */
  offset: number;
}

export type PlacedHunks =
  | { ok: true; content: string; offsets: HunkOffset[] }
  | { ok: false; hunk: number; line: number; problem: string; offset?: number; needsBase?: true };

/**
 * Applies hunks to a file's content (bytes as Latin-1). With `exact`, the content is that of the base which the caller
 * named, so each hunk must fit at its own line. Otherwise it may fit elsewhere, but at one place only. Time is linear
 * in both texts.
 */
export function applyHunks(content: string, hunks: readonly Hunk[], { exact }: { exact: boolean }): PlacedHunks {
  const lines = splitLines(content);
  const parts: string[][] = [];
  const offsets: HunkOffset[] = [];
  let free = 0;
  let shift = 0;
  const budget = { lines: MAX_SEARCHED_LINES };
  for (const [index, hunk] of hunks.entries()) {
    const wanted = { old: textsOf(hunk, 'added'), lines, free, shift, budget };
    const found = exact ? atItsLine(hunk, wanted) : nearby(hunk, wanted);
    if ('problem' in found) return { ok: false, hunk: index + 1, line: hunk.line, ...found };
    parts.push(lines.slice(free, found.at), textsOf(hunk, 'removed'));
    free = found.at + wanted.old.length;
    shift = found.at - firstLine(hunk, wanted.old.length);
    if (shift !== 0) offsets.push({ hunk: index + 1, line: hunk.line, offset: shift });
  }
  parts.push(lines.slice(free));
  const made = parts.flat();
  if (made.slice(0, -1).some((line) => !line.endsWith('\n'))) {
    return {
      ok: false,
      hunk: hunks.length,
      line: hunks.at(-1)?.line ?? 0,
      problem: 'would leave a line without a newline before the end of the file',
    };
  }
  return { ok: true, content: made.join(''), offsets };
}

interface Wanted {
  old: readonly string[];
  lines: readonly string[];
  /** First line that no earlier hunk has used. */
  free: number;
  /** Offset of the previous hunk, in lines. */
  shift: number;
  /** Remaining lines that may be searched, for all hunks of the file. */
  budget: { lines: number };
}

type Found = { at: number } | { problem: string; offset?: number; needsBase?: true };

function atItsLine(hunk: Hunk, wanted: Wanted): Found {
  const at = firstLine(hunk, wanted.old.length);
  if (at < wanted.free) return { problem: 'overlaps the hunk before it or is out of order' };
  if (matchesAt(wanted, at)) return { at };
  const places = placesOf(wanted, 2);
  if (places.length === 0) return { problem: `does not fit at line ${hunk.oldStart} of the base, nor anywhere else` };
  const offset = places[0]! - at;
  return { problem: `fits ${distance(offset)}, not at line ${hunk.oldStart} of the base`, offset };
}

function nearby(hunk: Hunk, wanted: Wanted): Found {
  const { old, lines, free, shift } = wanted;
  const stated = firstLine(hunk, old.length);
  if (old.length === 0) {
    // An empty file is the only one where a hunk without old lines has a unique place.
    if (lines.length === 0) return { at: 0 };
    const problem = 'adds lines without context: give the base that its line numbers refer to';
    return { problem, needsBase: true };
  }
  const mayStand = (at: number): boolean => mayStandAt(hunk, { at, oldLength: old.length, lines });
  if (hasContext(hunk)) {
    const likely = [stated + shift, stated].find((at) => at >= free && matchesAt(wanted, at) && mayStand(at));
    if (likely !== undefined) return { at: likely };
  }
  const places = placesOf(wanted, MAX_PLACES).filter(mayStand);
  if (places.length === 1) return { at: places[0]! };
  if (places.length === 0) return { problem: 'does not fit anywhere in the file' };
  const many = places.length === MAX_PLACES ? 'many' : places.length;
  return { problem: `fits at ${many} places, but not at its own line: give the base` };
}

/** Limits the search when thousands of hunks are all off their lines in a file of as many lines. */
const MAX_SEARCHED_LINES = 20_000_000;
/** More matching places than this are reported as "many". */
const MAX_PLACES = 1_000;

/**
 * Applies the rules by which git and patch tie a hunk to an end of the file. For git, a hunk without context below its
 * change must end the file; for patch, so must one with less context below than above. The same holds at the start. A
 * place is accepted when either tool would accept it.
 */
function mayStandAt(
  hunk: Hunk,
  { at, oldLength, lines }: { at: number; oldLength: number; lines: readonly string[] },
): boolean {
  const above = hunk.lines.findIndex(({ kind }) => kind !== 'context');
  const below = hunk.lines.length - 1 - hunk.lines.findLastIndex(({ kind }) => kind !== 'context');
  const [begins, ends] = [at === 0, at + oldLength === lines.length];
  const first = hunk.oldStart <= 1;
  const forGit = (begins || !first) && (ends || below > 0);
  const forPatch = (begins || !first || above >= below) && (ends || below >= above);
  return forGit || forPatch;
}

function hasContext({ lines }: Hunk): boolean {
  return lines.some(({ kind }) => kind === 'context');
}

/** Returns the index of a hunk's first old line, from 0. Without old lines the header names the line before it. */
function firstLine({ oldStart }: Hunk, oldLength: number): number {
  return oldLength === 0 ? oldStart : Math.max(oldStart - 1, 0);
}

function textsOf({ lines }: Hunk, without: 'added' | 'removed'): string[] {
  return lines.filter(({ kind }) => kind !== without).map(({ text }) => text);
}

function matchesAt({ old, lines }: Wanted, at: number): boolean {
  return at + old.length <= lines.length && old.every((line, index) => lines[at + index] === line);
}

/** Finds the places of the old lines by Knuth-Morris-Pratt, because a naive search of equal lines is quadratic. */
function placesOf({ old, lines, free, budget }: Wanted, limit: number): number[] {
  budget.lines -= old.length + lines.length - free;
  if (old.length === 0 || budget.lines < 0) return [];
  const fallback = fallbackTable(old);
  const places: number[] = [];
  let matched = 0;
  for (let at = free; at < lines.length && places.length < limit; at += 1) {
    while (matched > 0 && (matched === old.length || old[matched] !== lines[at])) matched = fallback[matched - 1]!;
    if (old[matched] === lines[at]) matched += 1;
    if (matched === old.length) places.push(at - old.length + 1);
  }
  return places;
}

function fallbackTable(old: readonly string[]): number[] {
  const table = [0];
  let matched = 0;
  for (let at = 1; at < old.length; at += 1) {
    while (matched > 0 && old[matched] !== old[at]) matched = table[matched - 1]!;
    if (old[matched] === old[at]) matched += 1;
    table.push(matched);
  }
  return table;
}

function distance(offset: number): string {
  const lines = Math.abs(offset) === 1 ? '1 line' : `${Math.abs(offset)} lines`;
  return offset > 0 ? `${lines} further down` : `${lines} further up`;
}

/** Splits a text into lines that keep their newlines. */
export function splitLines(content: string): string[] {
  const lines = content.split('\n');
  const last = lines.pop()!;
  const whole = lines.map((line) => `${line}\n`);
  return last === '' ? whole : [...whole, last];
}
