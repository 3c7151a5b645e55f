import { describe, expect, test } from 'vitest';
import { readPatchHeaders, unquote } from '../../../src/git/patch-text.ts';

describe('paths are read from headers alone', () => {
  test('of a git patch, with the folders a and b taken off', () => {
    const text =
      'diff --git a/src/x.ts b/src/x.ts\nindex 1..2 100644\n--- a/src/x.ts\n+++ b/src/x.ts\n@@ -1 +1 @@\n-a\n+b\n';
    expect(readPatchHeaders(text)).toEqual({
      paths: ['src/x.ts'],
      strip: 1,
      withoutContext: false,
      mayLackContext: true,
    });
  });

  test('of a plain unified diff without folders', () => {
    expect(readPatchHeaders('--- src/x.ts\t2026-01-01\n+++ src/x.ts\n@@ -1 +1 @@\n-a\n+b\n')).toEqual({
      paths: ['src/x.ts'],
      strip: 0,
      withoutContext: false,
      mayLackContext: true,
    });
  });

  test('a removed line that looks like a header is none', () => {
    const text = '--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n--- a/../../etc/passwd\n context\n';
    expect(readPatchHeaders(text).paths).toEqual(['x']);
  });

  test('new, deleted, renamed and quoted files', () => {
    expect(readPatchHeaders('--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n').paths).toEqual(['new']);
    expect(readPatchHeaders('diff --git a/old b/new\nrename from old\nrename to ../new\n').paths).toEqual([
      'old',
      '../new',
    ]);
    expect(readPatchHeaders('--- "a/t\\303\\251st"\n+++ "b/t\\303\\251st"\n').paths).toEqual(['tést']);
  });

  test('a mode change has only its git line, also with spaces', () => {
    expect(readPatchHeaders('diff --git a/a b.sh b/a b.sh\nold mode 100644\nnew mode 100755\n').paths).toEqual([
      'a b.sh',
    ]);
  });

  test('what names no file gives none', () => {
    expect(readPatchHeaders('hello\nworld\n').paths).toEqual([]);
  });
});

test('C quotes are taken away byte by byte', () => {
  expect(unquote('"a\\tb\\\\c\\"d"')).toBe('a\tb\\c"d');
  expect(unquote('plain')).toBe('plain');
});

test('hunks that go by line numbers alone are seen; new, removed and rewritten files are not such', () => {
  const withoutContext = (hunk: string) => readPatchHeaders(`--- a/x\n+++ b/x\n${hunk}`).withoutContext;
  expect(withoutContext('@@ -20,0 +21 @@\n+x\n')).toBe(true);
  expect(withoutContext('@@ -20 +19,0 @@\n-x\n')).toBe(true);
  expect(withoutContext('@@ -0,0 +1 @@\n+x\n')).toBe(false);
  expect(withoutContext('@@ -1 +0,0 @@\n-x\n')).toBe(false);
  expect(withoutContext('@@ -1 +1 @@\n-x\n+y\n')).toBe(false);
});
