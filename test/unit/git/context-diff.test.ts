import { describe, expect, test } from 'vitest';
import { ContextDiffError, contextToUnified } from '../../../src/git/context-diff.ts';

const head = '*** a/x\t2026-01-01\n--- b/x\t2026-01-02\n***************\n';

describe('a context diff becomes a unified one', () => {
  test('changed lines', () => {
    const text = `${head}*** 1,3 ****\n  one\n! two\n  three\n--- 1,3 ----\n  one\n! TWO\n  three\n`;
    expect(contextToUnified(text)).toBe(
      '--- a/x\t2026-01-01\n+++ b/x\t2026-01-02\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n',
    );
  });

  test('only added lines: the old side is left out', () => {
    const text = `${head}*** 1,2 ****\n--- 1,3 ----\n  one\n+ new\n  two\n`;
    expect(contextToUnified(text)).toBe(
      '--- a/x\t2026-01-01\n+++ b/x\t2026-01-02\n@@ -1,2 +1,3 @@\n one\n+new\n two\n',
    );
  });

  test('only removed lines: the new side is left out', () => {
    const text = `${head}*** 1,3 ****\n  one\n- gone\n  two\n--- 1,2 ----\n`;
    expect(contextToUnified(text)).toBe(
      '--- a/x\t2026-01-01\n+++ b/x\t2026-01-02\n@@ -1,3 +1,2 @@\n one\n-gone\n two\n',
    );
  });

  test('no newline at the end', () => {
    const text = `${head}*** 1 ****\n! a\n--- 1 ----\n! b\n\\ No newline at end of file\n`;
    expect(contextToUnified(text)).toBe(
      '--- a/x\t2026-01-01\n+++ b/x\t2026-01-02\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n',
    );
  });
});

test.each(['', 'hello\n', '*** a/x\n--- b/x\n', `${head}*** 1,2 ****\n  a\n`])('%j is refused', (text) => {
  expect(() => contextToUnified(text)).toThrow(ContextDiffError);
});

test('a CR belongs to the file, unless the whole diff was converted', () => {
  const hunk = '***************\n*** 1 ****\n! a\r\n--- 1 ----\n! b\r\n';
  expect(contextToUnified(`*** a/x\n--- b/x\n${hunk}`)).toContain('-a\r\n+b\r\n');
  expect(contextToUnified(`*** a/x\n--- b/x\n${hunk}`.replaceAll('\r', '').replaceAll('\n', '\r\n'))).toContain(
    '-a\n+b\n',
  );
});

test('without context an insertion stands between two lines', () => {
  expect(contextToUnified(`${head}*** 20 ****\n--- 21 ----\n+ new\n`)).toContain('@@ -20,0 +21 @@\n+new\n');
});
