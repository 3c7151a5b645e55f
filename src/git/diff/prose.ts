import { diffLikeProblem, NAMES_WITHOUT_CONTENT } from './diff-like.ts';
import { type DiffLines, MalformedDiff } from './diff-model.ts';

/** The context of a line that belongs to no file. */
export interface ProsePlace {
  /** True before the section of the first file. */
  isFirst: boolean;
  isMail: boolean;
  /** First line after a mail's text. In the text, only hunk headers and names without content are refused. */
  quietUntil: number;
}

const HUNK_HEADER = /^[ \t>|]{0,16}@@ -\d{1,10}(,\d{1,10})? \+\d{1,10}(,\d{1,10})? @@/;

/**
 * Returns the index at which the first file's section starts, because the text of a mail may hold anything before it.
 */
export function quietUntil(lines: readonly string[]): number {
  const first = lines.findIndex((line, at) => line.startsWith('diff --git ') || isUnifiedHeader(lines, at));
  return Math.max(0, first);
}

/** True where `--- old`, `+++ new` and a hunk header follow each other. */
export function isUnifiedHeader(lines: readonly string[], at: number): boolean {
  const [old, fresh, hunk] = [lines[at], lines[at + 1], lines[at + 2]];
  return (old?.startsWith('--- ') && fresh?.startsWith('+++ ') && hunk?.startsWith('@@')) ?? false;
}

/** Throws MalformedDiff for a line that could be part of a diff: git and patch skip such lines and apply the rest. */
export function assertProse(cursor: DiffLines, { isFirst, quietUntil: quiet }: ProsePlace): void {
  const line = cursor.peek()!;
  const { number } = cursor;
  const isHunk = cursor.at < quiet ? /^@@ -\d/.test(line) : HUNK_HEADER.test(line);
  if (isHunk) throw new MalformedDiff(number, 'a hunk header without file names above it');
  if (cursor.at < quiet) {
    if (NAMES_WITHOUT_CONTENT.test(line)) throw new MalformedDiff(number, diffLikeProblem(line)!);
    return;
  }
  const problem = diffLikeProblem(line) ?? (isFirst ? undefined : diffLikeProblem(line.replace(/^[ \t>|]{1,16}/, '')));
  if (problem !== undefined) throw new MalformedDiff(number, problem);
  if (/^[+\\-]/.test(line) && !isRule(line) && !(isFirst && isItem(cursor))) {
    throw new MalformedDiff(number, 'a line that looks like part of a hunk is outside any hunk');
  }
}

/** True for a line of signs alone, as below a heading or around a table. */
function isRule(line: string): boolean {
  return /^[-+][-+=]+[+|]?\r?$/.test(line) || /^[+-]\r?$/.test(line);
}

/**
 * Before the first file, a line that begins with a sign is a list item if one blank follows (`- all files`) or if its
 * paragraph begins with words (`Two switches:`, then `-n to try`). A hunk whose header was cut off has neither: all its
 * lines begin with a sign or a blank.
 */
function isItem({ lines, at }: DiffLines): boolean {
  if (/^[+-] \S/.test(lines[at]!)) return true;
  const above = lines.slice(Math.max(0, at - LONGEST_LIST), at);
  return above.slice(above.findLastIndex((line) => line.trim() === '') + 1).some((line) => /^\w/.test(line));
}

const LONGEST_LIST = 40;
