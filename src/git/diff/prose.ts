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

const DIFF_LIKE: readonly [RegExp, string][] = [
  [/^@@/, 'a hunk header stands without the names of its file'],
  [/^(--- |\+\+\+ )/, 'a file name stands without its other half, or without a hunk'],
  [/^\*{3} /, 'the header of a context diff or of another patch format stands without a hunk'],
  [/^\*{15}/, 'a hunk of a context diff stands without the names of its file'],
  [/^Only in .+: /, '"Only in" names a file whose content is missing: use diff -N'],
  [/^(Binary f|F)iles .+ differ\r?$/, 'the content of a binary file is missing: use git diff --binary'],
  [/^GIT binary patch\r?$/, 'binary data stand without the header of their file'],
  [
    /^((old|new|new file|deleted file) mode \d|(rename|copy) (from|to) |index [0-9a-f]+\.\.)/,
    'a git header line stands without "diff --git"',
  ],
  [/^(dis)?similarity index \d/, 'a git header line stands without "diff --git"'],
];

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
  if (cursor.at < quiet) return;
  const unlike = line.replace(/^[\u00ef\u00bb\u00bf]+/, '').slice(0, 4_000);
  for (const [pattern, expected] of DIFF_LIKE) if (pattern.test(unlike)) throw new MalformedDiff(number, expected);
  // Before the first file these may be items of a list; behind a hunk they may be lines that its header does not count.
  if (!isFirst && /^[+\\-]/.test(line) && !/^-{3,}\r?$/.test(line)) {
    throw new MalformedDiff(number, 'a line of a hunk stands outside any hunk');
  }
}
