import { describe, expect, test } from 'vitest';
import { MalformedDiff } from '../../../../src/git/diff/diff-model.ts';
import { readDiff } from '../../../../src/git/diff/read-diff.ts';

const GOOD = '--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n';
const GIT = `diff --git a/x b/x\nindex 1234567..89abcde 100644\n${GOOD}`;

function refusal(text: string, options: { isMail?: boolean } = {}): number | undefined {
  try {
    readDiff(text, options);
    return undefined;
  } catch (error) {
    if (error instanceof MalformedDiff) return error.line;
    throw error;
  }
}

describe('every line belongs to a file or is prose', () => {
  test.each([
    ['a hunk with more lines than its header counts', `${GOOD}+three\n`, 7],
    ['the same behind a blank line', `${GOOD}\n+three\n`, 8],
    ['a context line beyond the counts', `${GOOD} three\n`, 7],
    ['a hunk that ends too early', '--- a/x\n+++ b/x\n@@ -1,5 +1,5 @@\n one\n-two\n+TWO\n', 7],
    ['a hunk header without numbers', `${GOOD}--- a/y\n+++ b/y\n@@ @@\n-b\n+B\n`, 9],
    ['file names without a hunk', `${GOOD}--- a/y\n+++ b/y\n`, 7],
    ['one file name alone', `${GOOD}--- a/y\n`, 7],
    ['a removal without a hunk', `${GOOD}--- a/y\n+++ /dev/null\n`, 7],
    ['a git header and nothing more', `${GIT}diff --git a/y b/y\nindex 1234567..89abcde 100644\n`, 11],
    ['a hunk without a header', `@@ -1 +1 @@\n-a\n+b\n${GOOD}`, 1],
    ['Only in', `${GOOD}Only in new: y\n`, 7],
    ['Binary files differ', `${GOOD}Binary files a/y and b/y differ\n`, 7],
    [
      'a binary file in a git diff',
      'diff --git a/y b/y\nindex 1234567..89abcde 100644\nBinary files a/y and b/y differ\n',
      3,
    ],
    [
      'a second header line of one kind',
      'diff --git a/e b/e\ndeleted file mode 100644\nindex e69de29..0000000\nnew file mode 100644\nindex 0000000..587be6b\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n',
      5,
    ],
    [
      'a mode of one file before the names of another',
      `diff --git a/y b/y\nold mode 100644\nnew mode 100755\n${GOOD}`,
      1,
    ],
    [
      'a new file of two names',
      'diff --git a/n b/n\nnew file mode 100644\nindex 0000000..814f4a4\n--- /dev/null\n+++ b/o\n@@ -0,0 +1 @@\n+x\n',
      1,
    ],
    ['a new file that is renamed', 'diff --git a/n b/m\nnew file mode 100755\nrename from n\nrename to m\n', 1],
    [
      'a removed file that has a new name',
      'diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ b/x\n@@ -1 +0,0 @@\n-a\n',
      1,
    ],
    [
      'a new file whose mode line is lost',
      'diff --git a/n b/n\nindex 0000000..814f4a4\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n',
      1,
    ],
    ['a signature that could be lines of a hunk', `${GOOD}-- \n+  indented\n`, 7],
    ['a signature with a header below', `${GOOD}-- \n2.39\nrename from x\n`, 7],
    ['a hunk whose front is cut off', ` ctx\n-old\n+new\n${GOOD}`, 2],
    ['a normal diff', `${GOOD}diff a b\n1c1\n< 1\n---\n> one\n`, 8],
    ['an ed script', `${GOOD}2c\nhello\n.\n`, 7],
    [
      'a rename that is not all of a change',
      'diff --git a/x b/y\nsimilarity index 70%\nrename from x\nrename to y\n',
      5,
    ],
    ['half of a rename', 'diff --git a/x b/y\nsimilarity index 100%\nrename from x\n', 1],
    [
      'a rename whose target is another one',
      'diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to z\n',
      1,
    ],
    ['line ends of two kinds', GIT.replace('b/x\nindex', 'b/x\r\nindex'), 2],
    ['a quoted name with a bad escape', '--- /dev/null\n+++ "b/fresh\\2.md"\n@@ -0,0 +1 @@\n+x\n', 2],
    ['old lines from line 0 on', '--- a/x\n+++ b/x\n@@ -0,1 +1 @@\n-a\n+b\n', 3],
    ['a quoted section', `${GOOD}> --- a/y\n> +++ b/y\n> @@ -1 +1 @@\n> -b\n> +B\n`, 7],
    ['an indented section', `${GOOD}    --- a/y\n    +++ b/y\n    @@ -1 +1 @@\n    -b\n    +B\n`, 7],
    ['a byte order mark inside', `${GOOD}\u00ef\u00bb\u00bf--- a/y\n+++ b/y\n@@ -1 +1 @@\n-b\n+B\n`, 7],
    ['an empty new file of GNU diff', `diff -ruN old/e new/e\n${GOOD}`, undefined],
    ['an empty new file of GNU diff before another', `diff -ruN old/e new/e\ndiff -ruN old/x new/x\n${GOOD}`, 1],
    ['an Index line without a file', `${GOOD}Index: y\n=====\n`, 7],
    ['a merge', `diff --cc x\nindex 1,2..3\n--- a/x\n+++ b/x\n@@@ -1 -1 +1 @@@\n--a\n`, 1],
    ['another patch format', '*** Begin Patch\n*** Update File: x\n@@\n-a\n+b\n*** End Patch\n', 1],
    ['a header line of endless length', `--- a/${'x'.repeat(30_000)}\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n`, 1],
    [
      'a rename whose change is missing',
      'diff --git a/x b/y\nsimilarity index 90%\nrename from x\nrename to y\nindex 1234567..89abcde 100644\n',
      6,
    ],
  ])('%s', (_what, text, line) => {
    expect(refusal(text)).toBe(line);
  });

  test.each([
    ['text before and a list', `Fix x.\n\n- one thing\n+ another\n* a third\n---\n${GOOD}`],
    ['options below a sentence', `Two switches:\n-n to try\n-h to help\n\n${GOOD}`],
    ['a mail signature', `${GOOD}-- \n2.39.5\n\n`],
    ['a code fence', `Here it is:\n\`\`\`diff\n${GOOD}\`\`\`\nDone.\n`],
    ['quilt', `Index: pkg/x\n=========\n--- pkg.orig/x\n+++ pkg/x\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n`],
    ['CVS', `Index: x\n===\nRCS file: /cvs/x,v\nretrieving revision 1.1\ndiff -u -r1.1 x\n${GOOD}`],
    ['a blank context line without its space', '--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n\n-two\n+TWO\n'],
    [
      'a removed line that looks like a header',
      '--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n--- a/../../etc/passwd\n context\n',
    ],
  ])('%s is taken', (_what, text) => {
    expect(readDiff(text).sections).toHaveLength(1);
  });

  test('the text of a mail may look like a diff up to its first git header', () => {
    const text = `--- before\n+++ after\n*** stars\nindex 12..34\n---\n x | 2 +-\n\n${GIT}`;
    expect(refusal(text)).toBe(1);
    expect(readDiff(text, { isMail: true }).sections).toHaveLength(1);
    expect(refusal(`@@ -1 +1 @@\n-a\n+b\n${GIT}`, { isMail: true })).toBe(1);
  });

  test('prose alone gives no section', () => {
    expect(readDiff('hello\nworld\n')).toEqual({ sections: [], repairs: {} });
  });
});

describe('what a diff lost in transit is restored and noted', () => {
  test('a missing last newline is added', () => {
    const { sections, repairs } = readDiff(GOOD.trimEnd());
    expect(repairs).toEqual({ newline_added: true });
    expect(sections[0]!.hunks[0]!.lines.at(-1)).toEqual({ kind: 'added', text: 'TWO\n' });
  });

  test('missing blank context lines at the end are added', () => {
    const { sections, repairs } = readDiff('--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n-two\n+TWO\n one\n');
    expect(repairs).toEqual({ blank_lines_added: 1 });
    expect(sections[0]!.hunks[0]!.lines.at(-1)).toEqual({ kind: 'context', text: '\n' });
  });

  test('a byte order mark at the start is removed', () => {
    expect(readDiff(`\u00ef\u00bb\u00bf${GOOD}`).repairs).toEqual({ byte_order_mark_removed: true });
  });
});

describe('headers', () => {
  const first = (text: string) => readDiff(text).sections[0]!;

  test('git headers give modes, renames, quoted names and blobs', () => {
    expect(first('diff --git a/a b.sh b/a b.sh\nold mode 100644\nnew mode 100755\n')).toMatchObject({
      gitNames: { old: 'a/a b.sh', new: 'b/a b.sh' },
      oldMode: '100644',
      newMode: '100755',
    });
    expect(
      first('diff --git "a/t\\303\\251st" b/y\nsimilarity index 100%\nrename from "t\\303\\251st"\nrename to y\n')
        .moved,
    ).toEqual({ kind: 'rename', from: 't\u00c3\u00a9st', to: 'y' });
    expect(first(GIT)).toMatchObject({ blobs: { old: '1234567', new: '89abcde' }, oldMode: '100644' });
    expect(first('diff --git a/e b/e\nnew file mode 100644\nindex 0000000..e69de29\n').declared).toBe('new');
  });

  test('a date after one tab, two tabs or blanks is split from the name, and the epoch marks a missing file', () => {
    const named = (old: string) => first(`--- ${old}\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n`).oldName;
    expect(named('a/x\t2026-01-01 10:00:00.000000000 +0100')).toMatchObject({ name: 'a/x', epoch: false });
    expect(named('a/x\t\tThu Jan  1 01:00:00 1970')).toMatchObject({ name: 'a/x', epoch: true });
    expect(named('a/x\t1970-01-01 01:00:00.000000000 +0100')).toMatchObject({ name: 'a/x', epoch: true });
    expect(named('a/x\t1970-01-01 02:00:00.000000000 +0100')).toMatchObject({ name: 'a/x', epoch: false });
    expect(named('a/x y 2026-01-01 10:00:00')).toMatchObject({ name: 'a/x y', epoch: false });
  });

  test('a context diff gives the same hunks as a unified one', () => {
    const head = '*** a/x\t2026-01-01\n--- b/x\t2026-01-02\n***************\n';
    const both = `${head}*** 1,3 ****\n  one\n! two\n  three\n--- 1,3 ----\n  one\n! TWO\n  three\n`;
    expect(first(both).hunks[0]!.lines).toEqual(
      first('--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n').hunks[0]!.lines,
    );
    const added = `${head}*** 1,2 ****\n--- 1,3 ----\n  one\n+ new\n  two\n`;
    expect(first(added).hunks[0]).toMatchObject({
      oldStart: 1,
      lines: [{ kind: 'context' }, { text: 'new\n' }, { text: 'two\n' }],
    });
    const removed = `${head}*** 1,3 ****\n  one\n- gone\n  two\n--- 1,2 ----\n`;
    expect(first(removed).hunks[0]!.lines.map(({ kind }) => kind)).toEqual(['context', 'removed', 'context']);
    const end = `${head}*** 1 ****\n! a\n--- 1 ----\n! b\n\\ No newline at end of file\n`;
    expect(first(end).hunks[0]!.lines).toEqual([
      { kind: 'removed', text: 'a\n' },
      { kind: 'added', text: 'b' },
    ]);
    expect(first(`${head}*** 20 ****\n--- 21 ----\n+ new\n`).hunks[0]).toMatchObject({
      oldStart: 20,
      lines: [{ kind: 'added' }],
    });
  });

  test.each([
    ['counts that are too small', '*** 1,2 ****\n! one\n  two\n  three\n--- 1,2 ----\n! ONE\n  two\n! THREE\n'],
    ['counts that are too large', '*** 1,9 ****\n! one\n--- 1 ----\n! ONE\n'],
    ['ranges without their stars', '*** 1,3\n! b1\n--- 1,3\n! B1\n'],
    ['sides that disagree', '*** 1,2 ****\n! a\n  b\n--- 1,2 ----\n! A\n  c\n'],
    ['a change on one side alone', '*** 1,2 ****\n! a\n  b\n--- 1,2 ----\n+ A\n  b\n'],
  ])('a context diff with %s is malformed', (_what, hunk) => {
    expect(refusal(`*** a/x\n--- b/x\n***************\n${hunk}`)).toBeGreaterThan(0);
  });
});
