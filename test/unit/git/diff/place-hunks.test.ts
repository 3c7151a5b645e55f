import { describe, expect, test } from 'vitest';
import { applyHunks } from '../../../../src/git/diff/place-hunks.ts';
import { readDiff } from '../../../../src/git/diff/read-diff.ts';

const hunksOf = (body: string) => readDiff(`--- a/x\n+++ b/x\n${body}`).sections[0]!.hunks;
const numbered = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, n) => `${from + n}\n`).join('');
const FILE = numbered(1, 30);
const HUNK = '@@ -10,3 +10,3 @@\n 10\n-11\n+eleven\n 12\n';

describe('with the base that was named, line numbers are exact', () => {
  const at = (content: string, body = HUNK) => applyHunks(content, hunksOf(body), { exact: true });

  test('a hunk that fits is applied, one without context too', () => {
    expect(at(FILE)).toMatchObject({ ok: true, content: FILE.replace('11\n', 'eleven\n'), offsets: [] });
    expect(at(FILE, '@@ -2,0 +3 @@\n+2.5\n')).toMatchObject({
      ok: true,
      content: FILE.replace('2\n3\n', '2\n2.5\n3\n'),
    });
    expect(at(FILE, '@@ -0,0 +1 @@\n+0\n')).toMatchObject({ ok: true, content: `0\n${FILE}` });
  });

  test('one that fits elsewhere is refused, with how far off it is', () => {
    expect(at(`new\n${FILE}`)).toMatchObject({
      ok: false,
      hunk: 1,
      offset: 1,
      problem: expect.stringContaining('1 line further down'),
    });
    expect(at('nothing\n')).toMatchObject({ ok: false, problem: expect.stringContaining('nor anywhere else') });
  });

  test('hunks that overlap or stand out of order are refused', () => {
    expect(at(FILE, HUNK + HUNK)).toMatchObject({ ok: false, hunk: 2 });
    expect(at(FILE, `${HUNK}@@ -1,2 +1,2 @@\n-1\n+one\n 2\n`)).toMatchObject({ ok: false, hunk: 2 });
  });
});

describe('without a base', () => {
  const at = (content: string, body = HUNK) => applyHunks(content, hunksOf(body), { exact: false });

  test('an offset is taken where one place fits, and told', () => {
    expect(at(`a\nb\n${FILE}`)).toMatchObject({ ok: true, offsets: [{ hunk: 1, offset: 2 }] });
  });

  test('two equal places are refused, but not when the hunk stands at its own line', () => {
    const twice = FILE + FILE;
    expect(at(`a\n${twice}`)).toMatchObject({ ok: false, problem: expect.stringContaining('2 places') });
    expect(at(twice)).toMatchObject({ ok: true, offsets: [] });
  });

  test('the offset of one hunk is where the next is looked for first', () => {
    const second = '@@ -20,3 +20,3 @@\n 20\n-21\n+x\n 22\n';
    const content = `a\n${FILE}${numbered(18, 25)}`;
    expect(at(content, second)).toMatchObject({ ok: false });
    expect(at(content, HUNK + second)).toMatchObject({ ok: true, offsets: [{ offset: 1 }, { offset: 1 }] });
  });

  test('without context a line must be the only one of its kind; an insertion has no line to go by', () => {
    expect(at(`0\n${FILE}`, '@@ -11 +11 @@\n-11\n+x\n')).toMatchObject({ ok: true });
    expect(at(`${FILE}11\n`, '@@ -11 +11 @@\n-11\n+x\n')).toMatchObject({ ok: false });
    expect(at(FILE, '@@ -2,0 +3 @@\n+2.5\n')).toMatchObject({ ok: false, needsBase: true });
  });

  test('a hunk that shows no line below ends the file, for git and for patch', () => {
    expect(at(`${FILE}31\n`, '@@ -29,2 +29,3 @@\n 29\n 30\n+new\n')).toMatchObject({ ok: false });
    expect(at(FILE, '@@ -29,2 +29,3 @@\n 29\n 30\n+new\n')).toMatchObject({ ok: true });
  });
});

test('a last line without a newline stays the last one', () => {
  const hunks = hunksOf('@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n');
  expect(applyHunks('a\n', hunks, { exact: true })).toMatchObject({ ok: true, content: 'b' });
  expect(applyHunks('a\nc\n', hunks, { exact: true })).toMatchObject({ ok: false });
});

test('a file of equal lines costs no more than its length', () => {
  const equal = 'a\n'.repeat(200_000);
  const body = `@@ -1,100000 +1,100000 @@\n-b\n+c\n${' a\n'.repeat(99_999)}`;
  expect(applyHunks(equal, hunksOf(body), { exact: false })).toMatchObject({ ok: false });
});

test('a file of 200,000 lines, and a context diff of as many, take no longer than they are', () => {
  const lines = numbered(1, 200_000);
  const edit = '@@ -150000,1 +150000,1 @@\n-150000\n+x\n';
  expect(applyHunks(lines, hunksOf(edit), { exact: true })).toMatchObject({ ok: true });
  const made = `@@ -0,0 +1,200000 @@\n${'+x\n'.repeat(200_000)}`;
  expect(applyHunks('', hunksOf(made), { exact: true })).toMatchObject({ ok: true });
  const side = '  a\n'.repeat(199_999);
  const context = `*** a/x\n--- b/x\n***************\n*** 1,200000 ****\n${side}! b\n--- 1,200000 ----\n${side}! c\n`;
  expect(readDiff(context).sections[0]!.hunks[0]!.lines).toHaveLength(200_001);
});
