/** Matches lines that name a file without its content. */
export const NAMES_WITHOUT_CONTENT = /^(Only in [^:]+: |(Binary f|F)iles .+ differ\r?$)/;

const DIFF_LIKE: readonly [RegExp, string][] = [
  [/^@@/, 'a hunk header without file names above it'],
  [/^(--- |\+\+\+ )/, 'a "---" or "+++" line without its counterpart, or without a hunk'],
  [/^\*{3} /, 'a header of a context diff or of another patch format without a hunk'],
  [/^\*{15}/, 'a hunk of a context diff without file names above it'],
  [/^Only in .+: /, '"Only in" names a file whose content is missing: use diff -N'],
  [/^(Binary f|F)iles .+ differ\r?$/, 'the content of a binary file is missing: use git diff --binary'],
  [/^\d{1,9}(,\d{1,9})?[acd](\d{1,9}(,\d{1,9})?)?\r?$/, 'a command of a normal diff or an ed script: use diff -u'],
  [/^GIT binary patch\r?$/, 'binary data without the header of its file'],
  [
    /^((old|new|new file|deleted file) mode \d|(rename|copy) (from|to) |index [0-9a-f]+\.\.)/,
    'a git header line without "diff --git" above it',
  ],
  [/^(dis)?similarity index \d/, 'a git header line without "diff --git" above it'],
];

/** Returns the problem of a line outside every file's section that could be part of a diff; undefined for prose. */
export function diffLikeProblem(line: string): string | undefined {
  const text = line.replace(/^[\u00ef\u00bb\u00bf]+/, '').slice(0, MAX_LENGTH);
  return DIFF_LIKE.find(([pattern]) => pattern.test(text))?.[1];
}

export function isDiffLike(line: string): boolean {
  return /^(diff |Index: )/.test(line) || diffLikeProblem(line) !== undefined;
}

/** The patterns see at most this many characters of a line. */
const MAX_LENGTH = 4_000;
