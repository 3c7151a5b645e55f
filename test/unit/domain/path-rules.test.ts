import { describe, expect, test } from 'vitest';
import { policySchema } from '../../../src/contract/policy.ts';
import { type ChangeFacts, commonPath, refusalOf, unsafePath } from '../../../src/domain/path-rules.ts';

const policy = policySchema.parse({ protected: ['.github/**'], limits: { max_files: 2, max_bytes: 100 } });
const change = (paths: string[], more: Partial<ChangeFacts> = {}): ChangeFacts => ({
  paths: paths.map((path) => ({ path, mode: '100644', oldMode: null })),
  sizeBytes: 10,
  binary: false,
  holdsSecret: false,
  ...more,
});
const reasonOf = (facts: ChangeFacts, scope: string[] | null = null) =>
  refusalOf(facts, { policy, scope, approved: false })?.reason;

test('a plain change passes', () => {
  expect(reasonOf(change(['src/a.ts']), ['src/**'])).toBeUndefined();
});

test.each([
  '../up',
  '/etc/passwd',
  'a/../../b',
  '.git/config',
  'sub/.GIT/hooks/x',
  'a//b',
  './a',
  'a\\b',
  'a\0b',
  '',
  'git~1/config',
  '.git /x',
  '.g\u200cit/config',
  'x/.Git./y',
])('the path %j is refused before git sees it', (path) => {
  expect(unsafePath(['fine', path].map((name) => ({ path: name, isNew: true })))).toMatchObject({
    reason: 'unsafe_path',
    evidence: { path },
  });
});

describe('each rule has its reason', () => {
  test('a change out of its scope, of a protected path or of the policy', () => {
    expect(reasonOf(change(['src/a.ts', 'docs/b.md']), ['src/**'])).toBe('out_of_scope');
    expect(reasonOf(change(['.github/workflows/x.yml']))).toBe('protected_path');
    expect(reasonOf(change(['.sluice.yaml']))).toBe('protected_path');
  });

  test('a change over a limit, with binary content or with a secret', () => {
    expect(reasonOf(change(['a', 'b', 'c']))).toBe('too_many_files');
    expect(reasonOf(change(['a'], { sizeBytes: 101 }))).toBe('too_large');
    expect(reasonOf(change(['a'], { binary: true }))).toBe('binary_content');
    expect(reasonOf(change(['a'], { holdsSecret: true }))).toBe('holds_secret');
  });

  test('a nested repository or a submodule entry', () => {
    const of = (mode: string | null, oldMode: string | null) =>
      reasonOf(change([], { paths: [{ path: 'lib', mode, oldMode }] }));
    expect(of('160000', null)).toBe('embedded_repository');
    expect(of('160000', '100644')).toBe('embedded_repository');
    expect(of(null, '160000')).toBe('submodule_entry');
    expect(of('160000', '160000')).toBe('submodule_entry');
  });

  test.each([
    ['a/link', '../b', undefined],
    ['a/link', '../../b', 'link_leaves_tree'],
    ['link', '/etc/passwd', 'link_leaves_tree'],
    ['link', 'a/../../x', 'link_leaves_tree'],
    ['link', '.git/config', 'link_leaves_tree'],
    ['a/b/link', '../../c', undefined],
    ['host', 'a/b/up/../../etc', 'link_leaves_tree'],
  ])('a link at %s that points to %s: %s', (path, linkTarget, reason) => {
    expect(reasonOf(change([], { paths: [{ path, mode: '120000', oldMode: null, linkTarget }] }))).toBe(reason);
  });
});

test('a file with an odd name may be changed or removed but not created, and no path may leave the tree', () => {
  const of = (path: string, isNew: boolean) => unsafePath([{ path, isNew }])?.reason;
  for (const path of ['a\\b', 'n\udcefve', 'a\ufffdb'])
    expect([of(path, true), of(path, false)]).toEqual(['unsafe_path', undefined]);
  expect(of('../x', false)).toBe('unsafe_path');
});

test.each([
  ['a part of 256 bytes', `${'x'.repeat(256)}`, undefined],
  ['a part of 256 bytes in UTF-8', `d/${'ü'.repeat(128)}`, undefined],
  ['a path beyond the limit', Array.from({ length: 40 }, () => 'x'.repeat(100)).join('/'), undefined],
  ['an empty link', 'link', ''],
  ['a link with a target of 4,096 bytes', 'link', 'x'.repeat(4_096)],
])('%s cannot be checked out', (_what, path, linkTarget) => {
  const mode = linkTarget === undefined ? '100644' : '120000';
  const facts = change([], {
    paths: [{ path, mode, oldMode: null, ...(linkTarget === undefined ? {} : { linkTarget }) }],
  });
  expect(reasonOf(facts)).toBe('cannot_be_checked_out');
  expect(reasonOf(change([], { paths: [{ path, mode: null, oldMode: mode }] }))).toBeUndefined();
});

test('a glob also matches a name with a line break', () => {
  expect(reasonOf(change(['.github/a\nb.yml']))).toBe('protected_path');
  expect(reasonOf(change(['src/a\nb.ts']), ['src/**'])).toBeUndefined();
});

test('parentheses, bars and pluses in a glob are literal, so a glob cannot build a slow regular expression', () => {
  expect(reasonOf(change(['app/(group)/page.tsx']), ['app/(group)/**'])).toBeUndefined();
  expect(reasonOf(change(['c++/x']), ['c++/*'])).toBeUndefined();
  expect(reasonOf(change(['a'.repeat(60)]), ['((a|aa)+)+c'])).toBe('out_of_scope');
});

test('protected paths match in any case, and a protected folder covers all that lies below it', () => {
  for (const path of ['.SLUICE.YAML', '.GitHub/workflows/x.yml'])
    expect(reasonOf(change([path]))).toBe('protected_path');
  const folder = policySchema.parse({ protected: ['/ci/'] });
  expect(refusalOf(change(['ci/a/b']), { policy: folder, scope: null, approved: false })?.reason).toBe(
    'protected_path',
  );
});

test('a path of 250,000 dots or folders is refused without delay', () => {
  for (const path of [`${'.'.repeat(250_000)}x`, 'a/'.repeat(125_000), `${' .'.repeat(125_000)}x`]) {
    expect(reasonOf(change([`${path}b`]))).toBe('cannot_be_checked_out');
  }
});

test('globs match dot files, and a scope must match the whole path', () => {
  expect(reasonOf(change(['src/.hidden/x']), ['src/**'])).toBeUndefined();
  expect(reasonOf(change(['lib/src/x']), ['src/**'])).toBe('out_of_scope');
});

test('file_path is the only path of a change, or the folder that its paths have in common', () => {
  expect(commonPath([])).toBeNull();
  expect(commonPath(['src/a.ts'])).toBe('src/a.ts');
  expect(commonPath(['src/a/x.ts', 'src/a/y.ts'])).toBe('src/a');
  expect(commonPath(['src/a.ts', 'docs/b.md'])).toBe('.');
});
