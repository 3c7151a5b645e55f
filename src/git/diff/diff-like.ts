/** Lines that tell of a file whose content is not there. */
export const NAMES_WITHOUT_CONTENT = /^(Only in [^:]+: |(Binary f|F)iles .+ differ\r?$)/;

const DIFF_LIKE: readonly [RegExp, string][] = [
  [/^@@/, 'a hunk header stands without the names of its file'],
  [/^(--- |\+\+\+ )/, 'a file name stands without its other half, or without a hunk'],
  [/^\*{3} /, 'the header of a context diff or of another patch format stands without a hunk'],
  [/^\*{15}/, 'a hunk of a context diff stands without the names of its file'],
  [/^Only in .+: /, '"Only in" names a file whose content is missing: use diff -N'],
  [/^(Binary f|F)iles .+ differ\r?$/, 'the content of a binary file is missing: use git diff --binary'],
  [/^\d{1,9}(,\d{1,9})?[acd](\d{1,9}(,\d{1,9})?)?\r?$/, 'a command of a normal diff or an ed script: use diff -u'],
  [/^GIT binary patch\r?$/, 'binary data stand without the header of their file'],
  [
    /^((old|new|new file|deleted file) mode \d|(rename|copy) (from|to) |index [0-9a-f]+\.\.)/,
    'a git header line stands without "diff --git"',
  ],
  [/^(dis)?similarity index \d/, 'a git header line stands without "diff --git"'],
];

/** What is wrong with a line that stands outside every file's section and could be part of a diff; undefined for prose. */
export function diffLikeProblem(line: string): string | undefined {
  const text = line.replace(/^[\u00ef\u00bb\u00bf]+/, '').slice(0, MAX_LENGTH);
  return DIFF_LIKE.find(([pattern]) => pattern.test(text))?.[1];
}

export function isDiffLike(line: string): boolean {
  return /^(diff |Index: )/.test(line) || diffLikeProblem(line) !== undefined;
}

/** Longer lines are looked at up to here. */
const MAX_LENGTH = 4_000;
