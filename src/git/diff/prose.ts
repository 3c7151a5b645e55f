import { diffLikeProblem, NAMES_WITHOUT_CONTENT } from './diff-like.ts';
import { type DiffLines, MalformedDiff } from './diff-model.ts';

/** Where a line stands that belongs to no file. */
export interface ProsePlace {
  /** Nothing was read of any file yet. */
  isFirst: boolean;
  isMail: boolean;
  /** Below this line a mail is text: only a hunk header may not stand there. */
  quietUntil: number;
}

const HUNK_HEADER = /^[ \t>|]{0,16}@@ -\d{1,10}(,\d{1,10})? \+\d{1,10}(,\d{1,10})? @@/;

/** The line at which the first file's section begins: a mail's text may hold anything before it. */
export function quietUntil(lines: readonly string[]): number {
  const first = lines.findIndex((line, at) => line.startsWith('diff --git ') || isUnifiedHeader(lines, at));
  return Math.max(0, first);
}

/** True where `--- old`, `+++ new` and a hunk header follow each other. */
export function isUnifiedHeader(lines: readonly string[], at: number): boolean {
  const [old, fresh, hunk] = [lines[at], lines[at + 1], lines[at + 2]];
  return (old?.startsWith('--- ') && fresh?.startsWith('+++ ') && hunk?.startsWith('@@')) ?? false;
}

/**
 * Throws MalformedDiff when the current line could be part of a diff. git and patch pass over such lines, and half of a
 * change would land.
 */
export function assertProse(cursor: DiffLines, { isFirst, quietUntil: quiet }: ProsePlace): void {
  const line = cursor.peek()!;
  const { number } = cursor;
  const isHunk = cursor.at < quiet ? /^@@ -\d/.test(line) : HUNK_HEADER.test(line);
  if (isHunk) throw new MalformedDiff(number, 'a hunk header stands without the names of its file');
  if (cursor.at < quiet) {
    if (NAMES_WITHOUT_CONTENT.test(line)) throw new MalformedDiff(number, diffLikeProblem(line)!);
    return;
  }
  const problem = diffLikeProblem(line) ?? (isFirst ? undefined : diffLikeProblem(line.replace(/^[ \t>|]{1,16}/, '')));
  if (problem !== undefined) throw new MalformedDiff(number, problem);
  if (/^[+\\-]/.test(line) && !isRule(line) && !(isFirst && isItem(cursor))) {
    throw new MalformedDiff(number, 'a line of a hunk stands outside any hunk');
  }
}

/** A line of signs alone, as below a heading or around a table. */
function isRule(line: string): boolean {
  return /^[-+][-+=]+[+|]?\r?$/.test(line) || /^[+-]\r?$/.test(line);
}

/**
 * Before the first file a line that begins with a sign is an item of a list where one blank follows (`- all files`), or
 * where it stands in a paragraph that begins with words (`Two switches:`, then `-n to try`). A hunk that was cut has
 * neither: its lines begin with a sign or a blank.
 */
function isItem({ lines, at }: DiffLines): boolean {
  if (/^[+-] \S/.test(lines[at]!)) return true;
  const above = lines.slice(Math.max(0, at - LONGEST_LIST), at);
  return above.slice(above.findLastIndex((line) => line.trim() === '') + 1).some((line) => /^\w/.test(line));
}

const LONGEST_LIST = 40;
