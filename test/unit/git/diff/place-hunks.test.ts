import { describe, expect, test } from 'vitest';
import { applyHunks } from '../../../../src/git/diff/place-hunks.ts';
import { readDiff } from '../../../../src/git/diff/read-diff.ts';

const hunksOf = (body: string) => readDiff(`--- a/x\n+++ b/x\n${body}`).sections[0]!.hunks;
const numbered = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, n) => `${from + n}\n`).join('');
const FILE = numbered(1, 30);
const HUNK = '@@ -10,3 +10,3 @@\n 10\n-11\n+eleven\n 12\n';

describe('with a named base, line numbers are exact', () => {
  const at = (content: string, body = HUNK) => applyHunks(content, hunksOf(body), { exact: true });

  test('a hunk that fits is applied, one without context too', () => {
    expect(at(FILE)).toMatchObject({ ok: true, content: FILE.replace('11\n', 'eleven\n'), offsets: [] });
    expect(at(FILE, '@@ -2,0 +3 @@\n+2.5\n')).toMatchObject({
      ok: true,
      content: FILE.replace('2\n3\n', '2\n2.5\n3\n'),
    });
    expect(at(FILE, '@@ -0,0 +1 @@\n+0\n')).toMatchObject({ ok: true, content: `0\n${FILE}` });
  });

  test('a hunk that fits elsewhere is refused with its offset', () => {
    expect(at(`new\n${FILE}`)).toMatchObject({
      ok: false,
      hunk: 1,
      offset: 1,
      problem: expect.stringContaining('1 line further down'),
    });
    expect(at('nothing\n')).toMatchObject({ ok: false, problem: expect.stringContaining('nor anywhere else') });
  });

  test('hunks that overlap or are out of order are refused', () => {
    expect(at(FILE, HUNK + HUNK)).toMatchObject({ ok: false, hunk: 2 });
    expect(at(FILE, `${HUNK}@@ -1,2 +1,2 @@\n-1\n+one\n 2\n`)).toMatchObject({ ok: false, hunk: 2 });
  });
});

describe('without a base', () => {
  const at = (content: string, body = HUNK) => applyHunks(content, hunksOf(body), { exact: false });

  test('a hunk that fits in one other place is applied there, and its offset is noted', () => {
    expect(at(`a\nb\n${FILE}`)).toMatchObject({ ok: true, offsets: [{ hunk: 1, offset: 2 }] });
  });

  test('a hunk that fits in two places is refused, unless one of them is its own line', () => {
    const twice = FILE + FILE;
    expect(at(`a\n${twice}`)).toMatchObject({ ok: false, problem: expect.stringContaining('2 places') });
    expect(at(twice)).toMatchObject({ ok: true, offsets: [] });
  });

  test('the next hunk is first looked for at the offset of the one before', () => {
    const second = '@@ -20,3 +20,3 @@\n 20\n-21\n+x\n 22\n';
    const content = `a\n${FILE}${numbered(18, 25)}`;
    expect(at(content, second)).toMatchObject({ ok: false });
    expect(at(content, HUNK + second)).toMatchObject({ ok: true, offsets: [{ offset: 1 }, { offset: 1 }] });
  });

  test('a hunk without context applies only if its line is unique, and an insertion without context needs a base', () => {
    expect(at(`0\n${FILE}`, '@@ -11 +11 @@\n-11\n+x\n')).toMatchObject({ ok: true });
    expect(at(`${FILE}11\n`, '@@ -11 +11 @@\n-11\n+x\n')).toMatchObject({ ok: false });
    expect(at(FILE, '@@ -2,0 +3 @@\n+2.5\n')).toMatchObject({ ok: false, needsBase: true });
  });

  test('a hunk without context below must be at the end of the file, as for git and patch', () => {
    expect(at(`${FILE}31\n`, '@@ -29,2 +29,3 @@\n 29\n 30\n+new\n')).toMatchObject({ ok: false });
    expect(at(FILE, '@@ -29,2 +29,3 @@\n 29\n 30\n+new\n')).toMatchObject({ ok: true });
  });
});

test('a hunk whose last line has no newline applies only at the end of the file', () => {
  const hunks = hunksOf('@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n');
  expect(applyHunks('a\n', hunks, { exact: true })).toMatchObject({ ok: true, content: 'b' });
  expect(applyHunks('a\nc\n', hunks, { exact: true })).toMatchObject({ ok: false });
});

test('a hunk that fits nowhere in a file of 200,000 equal lines is refused in linear time', () => {
  const equal = 'a\n'.repeat(200_000);
  const body = `@@ -1,100000 +1,100000 @@\n-b\n+c\n${' a\n'.repeat(99_999)}`;
  expect(applyHunks(equal, hunksOf(body), { exact: false })).toMatchObject({ ok: false });
});

test('a file and a context diff of 200,000 lines are processed in linear time', () => {
  const lines = numbered(1, 200_000);
  const edit = '@@ -150000,1 +150000,1 @@\n-150000\n+x\n';
  expect(applyHunks(lines, hunksOf(edit), { exact: true })).toMatchObject({ ok: true });
  const made = `@@ -0,0 +1,200000 @@\n${'+x\n'.repeat(200_000)}`;
  expect(applyHunks('', hunksOf(made), { exact: true })).toMatchObject({ ok: true });
  const side = '  a\n'.repeat(199_999);
  const context = `*** a/x\n--- b/x\n***************\n*** 1,200000 ****\n${side}! b\n--- 1,200000 ----\n${side}! c\n`;
  expect(readDiff(context).sections[0]!.hunks[0]!.lines).toHaveLength(200_001);
});
