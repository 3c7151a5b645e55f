import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Files, GitSandbox } from '../../harness/git-sandbox.ts';
import { patchInputSchema } from '../../src/contract/patch-input.ts';
import { policySchema } from '../../src/contract/policy.ts';
import type { ClaimedTask } from '../../src/ledger/attempts/claims.ts';
import type { NewPatch } from '../../src/ledger/attempts/record-patch.ts';
import { readyMadePatch } from '../../src/pipeline/run-task/ready-made-patch.ts';

const policy = policySchema.parse({ limits: { allow_binary: true } });
const LINES = Array.from({ length: 12 }, (_, n) => `${n + 1}\n`).join('');

let git: GitSandbox;
let tip: string;
const open: GitSandbox[] = [];
beforeAll(async () => {
  git = await begin({
    'src/x.c': LINES,
    'a.txt': 'one\ntwo\nthree\n',
    'b/keep': 'k\n',
    link: { link: 'a.txt' },
    'AGENTS.md': '# a\n',
  });
  tip = (await git.mirror.fetchTip('main')).commit;
});
afterAll(() => Promise.all(open.map((sandbox) => sandbox.remove())));

async function begin(files: Files): Promise<GitSandbox> {
  const sandbox = await GitSandbox.create(files);
  open.push(sandbox);
  return sandbox;
}

async function takeIn(
  input: object,
  { on = git, message }: { on?: GitSandbox; message?: string } = {},
): Promise<NewPatch> {
  const { commit } = await on.mirror.fetchTip('main');
  const task = { input: patchInputSchema.parse(input), scope: null, branch: 'main' } as unknown as ClaimedTask;
  const given = { given: message, fallback: 'run: task' };
  const ending = await readyMadePatch(on.mirror, task, { tip: { commit, policy }, message: given });
  if (ending.kind !== 'patch') throw new Error(`a ready-made patch ended as ${ending.kind}`);
  return ending.patch;
}

const diff = (content: string, more: object = {}) => takeIn({ format: 'git_patch', content, ...more });
const fileAt = (patch: NewPatch, path: string, on = git) => on.mirror.readFile(patch.commit_id!, path).then(String);
const EDIT = '@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n';

describe('P3: the first folder of a file name is read as git and patch read it', () => {
  test.each([
    ['a and b', '--- a/a.txt\n+++ b/a.txt\n', 'a.txt'],
    ['mnemonic prefixes', 'diff --git i/a.txt w/a.txt\n--- i/a.txt\n+++ w/a.txt\n', 'a.txt'],
    [
      'two versions of a package',
      '--- pkg-1.orig/a.txt\t2026-01-01 00:00:00\n+++ pkg-1/a.txt\t2026-01-01 00:00:01\n',
      'a.txt',
    ],
    ['a copy beside the file', 'Index: pkg/a.txt\n====\n--- pkg/a.txt.orig\n+++ pkg/a.txt\n', 'a.txt'],
    ['no prefix', 'diff --git a.txt a.txt\n--- a.txt\n+++ a.txt\n', 'a.txt'],
    ['a dot in front', '--- ./a.txt\n+++ ./a.txt\n', 'a.txt'],
  ])('%s', async (_what, header, path) => {
    const patch = await diff(`${header}${EDIT}`, { base: tip });
    expect([patch.refusal, patch.paths]).toEqual([null, [path]]);
  });

  test.each([
    [
      'a new file below old and new',
      '--- old/n.txt\t1970-01-01 00:00:00.000000000 +0000\n+++ new/n.txt\t2026-01-01\n',
      ['n.txt'],
    ],
    ['a new file of quilt', '--- /dev/null\n+++ proj/n.txt\n', ['n.txt']],
    [
      'a new file without prefix in a folder b',
      'diff --git b/n.txt b/n.txt\nnew file mode 100644\n--- /dev/null\n+++ b/n.txt\n',
      ['b/n.txt'],
    ],
    [
      'a new file with prefix',
      'diff --git a/n.txt b/n.txt\nnew file mode 100644\n--- /dev/null\n+++ b/n.txt\n',
      ['n.txt'],
    ],
  ])('%s', async (_what, header, paths) => {
    const patch = await diff(`${header}@@ -0,0 +1 @@\n+x\n`, { base: tip });
    expect([patch.refusal, patch.paths]).toEqual([null, paths]);
  });

  test('a file name that can be read two ways is refused until strip decides', async () => {
    const content = '--- /dev/null\n+++ src/n.c\n@@ -0,0 +1 @@\n+x\n';
    expect((await diff(content)).refusal).toMatchObject({ reason: 'ambiguous_paths' });
    expect((await diff(content, { strip: 1 })).paths).toEqual(['n.c']);
    expect((await diff(content, { strip: 0 })).paths).toEqual(['src/n.c']);
  });
});

describe('where a hunk belongs', () => {
  const moved = '@@ -4,3 +4,3 @@\n 5\n-6\n+six\n 7\n';

  test('with a base a hunk must fit at its line: one that fits elsewhere is refused with the offset', async () => {
    const refused = await diff(`--- a/src/x.c\n+++ b/src/x.c\n${moved}`, { base: tip });
    expect(refused.refusal).toMatchObject({
      reason: 'does_not_apply',
      evidence: { path: 'src/x.c', hunk: 1, offset: 1 },
    });
  });

  test('without a base a hunk is applied at an offset, which is noted', async () => {
    const patch = await diff(`--- a/src/x.c\n+++ b/src/x.c\n${moved}`);
    expect(patch.notes).toEqual({ offsets: [{ path: 'src/x.c', hunk: 1, line: 3, offset: 1 }] });
    expect(await fileAt(patch, 'src/x.c')).toBe(LINES.replace('6\n', 'six\n'));
  });
});

describe('a git patch that names its blobs is merged as git am -3 does, when no base is given', () => {
  test('the base is the newest commit that has all of the blobs', async () => {
    const sandbox = await begin({ 'n.txt': LINES });
    const old = await sandbox.tip();
    const content = await sandbox.diffOf({ 'n.txt': LINES.replace('3\n', 'three\n') });
    await sandbox.push({ other: 'x\n' });
    await sandbox.push({ 'n.txt': LINES.replace('5\n', 'five\n').replace('1\n', 'one\n') });
    const patch = await takeIn({ format: 'git_patch', content }, { on: sandbox });
    expect(patch.refusal).toBeNull();
    // The commit that adds `other` still has the old file, so it is the newest base that fits.
    expect([patch.base_commit === old, patch.notes]).toEqual([false, { base_found: patch.base_commit }]);
    expect(await fileAt(patch, 'other', sandbox)).toBe('x\n');
    expect(await fileAt(patch, 'n.txt', sandbox)).toBe(LINES.replace('3\n', 'three\n'));
  });

  test('if no commit has all of the blobs they are merged alone, but never a blob that no commit of the branch has', async () => {
    const sandbox = await begin({ 'n.txt': LINES, 'm.txt': LINES });
    const first = await sandbox.diffOf({ 'n.txt': LINES.replace('3\n', 'three\n') });
    await sandbox.push({ 'n.txt': LINES.replace('5\n', 'five\n').replace('1\n', 'one\n') });
    await sandbox.push({ 'm.txt': LINES.replace('9\n', 'nine\n') });
    const second = await sandbox.diffOf({ 'm.txt': LINES.replace('9\n', 'nine\n').replace('3\n', 'drei\n') });
    await sandbox.push({ 'm.txt': LINES.replace('9\n', 'nine\n').replace('1\n', 'eins\n') });
    const patch = await takeIn({ format: 'git_patch', content: first + second }, { on: sandbox });
    expect([patch.refusal, patch.notes]).toEqual([null, { merged_by: 'blobs' }]);
    expect((await fileAt(patch, 'n.txt', sandbox)).split('\n').slice(0, 5)).toEqual(['one', '2', 'three', '4', 'five']);
    expect((await fileAt(patch, 'm.txt', sandbox)).split('\n').slice(0, 3)).toEqual(['eins', '2', 'drei']);
    const stranger = first.replace(/index [0-9a-f]+/, 'index 1111111');
    expect((await takeIn({ format: 'git_patch', content: stranger }, { on: sandbox })).refusal?.reason).toBe(
      'does_not_apply',
    );
  });
});

describe('mail', () => {
  const mailOf = async (): Promise<string> => {
    await git.git(['checkout', '--quiet', '-B', 'mail', 'origin/main']);
    await git.write({ 'a.txt': 'one\nTWO\nthree\n' });
    const message = 'fix: shout\n\n- why, in a list\n+ and more\n\nCo-authored-by: Bob <b@example.com>';
    await git.git([
      'commit',
      '--quiet',
      '--all',
      '--author=Grace <g@example.com>',
      '--date=2026-01-02T03:04:05Z',
      '-m',
      message,
    ]);
    return `${await git.git(['format-patch', '-1', '--stdout'])}\n`;
  };

  test('author, date and message of a single mail are kept, unless the caller gives others', async () => {
    const content = await mailOf();
    const patch = await diff(content, { base: tip });
    expect(patch).toMatchObject({
      refusal: null,
      author_name: 'Grace',
      author_email: 'g@example.com',
      authored_at: '2026-01-02T03:04:05.000Z',
      message: expect.stringMatching(/^fix: shout\n\n- why, in a list\n\+ and more\n\nCo-authored-by: Bob/),
    });
    const input = { format: 'git_patch', content, base: tip, author: { name: 'Ada', email: 'a@example.com' } };
    expect(await takeIn(input, { message: 'mine' })).toMatchObject({ author_name: 'Ada', message: 'mine' });
  });

  test('base64, quoted-printable and CRLF mails give the same tree', async () => {
    const plain = await mailOf();
    const { tree_id } = await diff(plain, { base: tip });
    const [head, body] = [plain.slice(0, plain.indexOf('\n\n')), plain.slice(plain.indexOf('\n\n') + 2)];
    const encoded = (kind: string, text: string) =>
      `${head}\nContent-Transfer-Encoding: ${kind}\nContent-Type: text/plain; charset=UTF-8\n\n${text}`;
    const base64 = encoded('base64', `${Buffer.from(body).toString('base64').replaceAll(/.{76}/g, '$&\n')}\n`);
    const quoted = encoded('quoted-printable', body.replaceAll('=', '=3D').replaceAll(/ $/gm, '=20'));
    expect((await diff(base64, { base: tip })).tree_id).toBe(tree_id);
    expect((await diff(quoted, { base: tip })).tree_id).toBe(tree_id);
    const crlf = await diff(plain.replaceAll('\n', '\r\n'), { base: tip });
    expect([crlf.tree_id, crlf.notes]).toEqual([tree_id, { line_ends_converted: ['a.txt'] }]);
  });

  test('a series of mails is one change, even if it edits a file and then deletes or renames it', async () => {
    await git.git(['checkout', '--quiet', '-B', 'series', 'origin/main']);
    await git.write({ 'a.txt': 'one\nTWO\nthree\n', 'src/x.c': LINES.replace('3\n', 'three\n') });
    await git.git(['commit', '--quiet', '--all', '-m', 'edit']);
    await git.git(['rm', '--quiet', 'a.txt']);
    await git.git(['mv', 'src/x.c', 'src/y.c']);
    await git.write({ new: 'n\n' });
    await git.git(['add', '--all']);
    await git.git(['commit', '--quiet', '-m', 'delete and move']);
    const tree = await git.git(['rev-parse', 'HEAD^{tree}']);
    const content = `${await git.git(['format-patch', '-2', '--stdout'])}\n`;
    const patch = await diff(content, { base: tip });
    expect([patch.refusal, patch.tree_id, patch.notes, patch.message]).toEqual([null, tree, { mails: 2 }, 'run: task']);
  });
});

test('several commits in one text are applied one after the other; a file that one diff changes and then renames is refused', async () => {
  const show = (id: string, body: string) => `commit ${id.repeat(40)}\nAuthor: A <a@b>\n\n    text\n\n${body}`;
  const edit = `diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n${EDIT}`;
  const move = 'diff --git a/a.txt b/moved\nsimilarity index 100%\nrename from a.txt\nrename to moved\n';
  const patch = await diff(`${show('a', edit)}\n${show('b', move)}`, { base: tip });
  expect([patch.refusal, patch.paths]).toEqual([null, ['a.txt', 'moved']]);
  expect(await fileAt(patch, 'moved')).toBe('one\nTWO\nthree\n');
  expect((await diff(edit + move, { base: tip })).refusal?.reason).toBe('malformed');
});

test('a git diff whose result differs from its index line is noted', async () => {
  const whole = await git.diffOf({ 'src/x.c': LINES.replace('2\n', 'two\n').replace('11\n', 'eleven\n') });
  const cut = `${whole.slice(0, whole.lastIndexOf('@@ -'))}`;
  expect((await diff(whole, { base: tip })).notes).toBeNull();
  expect((await diff(cut, { base: tip })).notes).toEqual({ other_than_indexed: ['src/x.c'] });
});

test('a diff with thousands of sections for one large file is refused before it is applied section by section', async () => {
  const sandbox = await begin({ big: 'a\n'.repeat(200_000) });
  const pair = '--- a/big\n+++ b/big\n@@ -1 +1 @@\n-a\n+b\n--- a/big\n+++ b/big\n@@ -1 +1 @@\n-b\n+a\n';
  const patch = await takeIn(
    { format: 'unified_diff', content: pair.repeat(2_000), base: await sandbox.tip() },
    { on: sandbox },
  );
  expect(patch.refusal).toMatchObject({ reason: 'malformed', evidence: { path: 'big' } });
});

test('a mail that is split by a line of its own text is refused', async () => {
  const mail = `From ${'a'.repeat(40)} Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nDate: Mon, 1 Jan 2026 00:00:00 +0000\nSubject: x\n\nFrom joe@example.com Mon Sep 17 00:00:00 2001\nmore\n---\n--- a/a.txt\n+++ b/a.txt\n${EDIT}`;
  expect((await diff(mail, { base: tip })).refusal).toMatchObject({
    reason: 'malformed',
    evidence: { messages: expect.stringContaining('has no author') },
  });
});

test('an unreadable policy is refused as policy_invalid, a readable one as protected_path', async () => {
  const write = (content: string) =>
    takeIn({ format: 'inline', files: [{ path: '.sluice.yaml', content }], base: tip });
  expect((await write('gates: [broken')).refusal).toMatchObject({
    reason: 'policy_invalid',
    evidence: { messages: expect.stringContaining('.sluice.yaml') },
  });
  expect((await write('gates: []\n')).refusal).toMatchObject({ reason: 'protected_path' });
});

describe('unusual input', () => {
  test.each([
    ['UTF-16', Buffer.from('\ufeff--- a/a.txt\n', 'utf16le'), 'malformed'],
    ['an absolute name', Buffer.from('--- /dev/null\n+++ /etc/passwd\n@@ -0,0 +1 @@\n+x\n'), 'unsafe_path'],
    [
      'names that end in a byte that JavaScript trims',
      Buffer.from('diff --git a/voilà b/voilà\nnew file mode 100644\n--- /dev/null\n+++ b/voilà\n@@ -0,0 +1 @@\n+x\n'),
      undefined,
    ],
    [
      'a new file that exists already',
      Buffer.from('--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1 @@\n+x\n'),
      'does_not_apply',
    ],
    ['a removal that leaves lines', Buffer.from('--- a/a.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n'), 'does_not_apply'],
    [
      'a text diff of a link',
      Buffer.from('--- a/link\n+++ b/link\n@@ -1 +1 @@\n-a.txt\n\\ No newline at end of file\n+b\n'),
      'does_not_apply',
    ],
    [
      'a removal as svn writes it',
      Buffer.from('--- a.txt\t(revision 1)\n+++ a.txt\t(nonexistent)\n@@ -1,3 +0,0 @@\n-one\n-two\n-three\n'),
      'malformed',
    ],
    ['a hunk that changes nothing', Buffer.from('--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n one\n'), 'malformed'],
    ['a file below a file', Buffer.from('--- /dev/null\n+++ b/a.txt/x\n@@ -0,0 +1 @@\n+x\n'), 'does_not_apply'],
  ])('%s', async (_what, bytes, reason) => {
    const patch = await takeIn({ format: 'unified_diff', content_base64: bytes.toString('base64'), base: tip });
    expect(patch.refusal?.reason).toBe(reason);
  });

  test('inline text over a symbolic link becomes a plain file', async () => {
    const patch = await takeIn({ format: 'inline', files: [{ path: 'link', content: '# Rules\n' }], base: tip });
    const entry = await git.mirror.text({ args: ['ls-tree', patch.commit_id!, 'link'] });
    expect(entry).toMatch(/^100644 /);
  });

  test('the format is a hint: a context diff sent as git_patch is read as what it is', async () => {
    const content =
      '*** a/a.txt\n--- b/a.txt\n***************\n*** 1,3 ****\n  one\n! two\n  three\n--- 1,3 ----\n  one\n! TWO\n  three\n';
    expect(await fileAt(await diff(content, { base: tip }), 'a.txt')).toBe('one\nTWO\nthree\n');
  });

  test('content in place of an LFS pointer and an added submodule are refused', async () => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n';
    const sandbox = await begin({ '.gitattributes': '*.bin filter=lfs\n', 'a.bin': pointer });
    const write = (content: string) =>
      takeIn({ format: 'inline', files: [{ path: 'a.bin', content }] }, { on: sandbox });
    expect((await write('content')).refusal).toMatchObject({ reason: 'lfs_content', evidence: { path: 'a.bin' } });
    expect((await write(pointer.replace('size 1', 'size 2'))).refusal).toBeNull();
    const gitlink = `diff --git a/sub b/sub\nnew file mode 160000\nindex 0000000..${tip.slice(0, 7)}\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n+Subproject commit ${tip}\n`;
    expect((await takeIn({ format: 'git_patch', content: gitlink }, { on: sandbox })).refusal?.reason).toBe(
      'submodule_entry',
    );
  });

  test('a file with a backslash in its name may be changed if the branch has it, but not created', async () => {
    const sandbox = await begin({ 'we\\ird': 'one\n' });
    const edit = (name: string) => `--- "a/${name}"\n+++ "b/${name}"\n@@ -1 +1 @@\n-one\n+two\n`;
    expect(await takeIn({ format: 'git_patch', content: edit('we\\\\ird') }, { on: sandbox })).toMatchObject({
      refusal: null,
      paths: ['we\\ird'],
    });
    const made = '--- /dev/null\n+++ "b/other\\\\name"\n@@ -0,0 +1 @@\n+x\n';
    expect((await takeIn({ format: 'git_patch', content: made }, { on: sandbox })).refusal?.reason).toBe('unsafe_path');
  });
});
