import { chmod, mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Files, GitSandbox } from '../../harness/git-sandbox.ts';
import { treeFromFiles, treeFromOwnDiff } from '../../src/git/build-tree.ts';
import { maintainMirror, sizeOfMirror } from '../../src/git/maintain-mirror.ts';
import { mergeChange } from '../../src/git/merge-change.ts';
import { Mirror } from '../../src/git/mirror.ts';
import { trackingRefs } from '../../src/git/mirror-folder.ts';
import { pushByCompareAndSwap } from '../../src/git/push.ts';
import { changedPaths, changesBetween } from '../../src/git/tree-changes.ts';
import { treeWithPinned } from '../../src/git/tree-entries.ts';
import { writeCommit } from '../../src/git/write-commit.ts';
import { writeObject } from '../../src/git/write-object.ts';

let git: GitSandbox;
beforeEach(async () => {
  git = await GitSandbox.create({ 'a.txt': '1\n2\n3\n4\n5\n6\n7\n8\n9\n', 'dir/b.txt': 'b\n' });
});
afterEach(() => git.remove());

const ADA = { name: 'Ada', email: 'ada@example.com' };

async function commitOn(base: string, files: Files) {
  const { commit, tree } = await git.commitOn(base, files);
  const { diff } = await changesBetween(git.mirror, base, tree);
  return { commit, tree, diff, readDiff: async () => diff };
}

describe('a commit', () => {
  const when = '2026-01-01T00:00:00Z';

  test.each([
    [ADA, 'plain'],
    [{ name: 'Ada Łovelace-K. (bot)', email: 'ada+bot@example.com' }, 'with ünicode\n\nand a body\n'],
    [{ name: ' ."Crud", ', email: '<odd>' }, 'a name that git cleans'],
  ])('has the id that git gives it: %o', async (person, message) => {
    const { commit: parent, tree } = await git.mirror.fetchTip('main');
    const parts = { tree, parent, message, author: person, authoredAt: when, committer: ADA, committedAt: when };
    const commit = await writeCommit(git.mirror, parts);
    const byGit = await git.mirror.text({
      args: ['commit-tree', '-p', parent, '-F', '-', tree],
      stdin: message.endsWith('\n') ? message : `${message}\n`,
      env: {
        GIT_AUTHOR_NAME: person.name,
        GIT_AUTHOR_EMAIL: person.email,
        GIT_AUTHOR_DATE: when,
        GIT_COMMITTER_NAME: ADA.name,
        GIT_COMMITTER_EMAIL: ADA.email,
        GIT_COMMITTER_DATE: when,
      },
    });
    expect(commit).toBe(byGit);
    expect(await git.mirror.treeOf(commit)).toBe(tree);
    expect(await git.mirror.isAncestor(parent, commit)).toBe(true);
    expect(await git.mirror.isAncestor(commit, parent)).toBe(false);
  });
});

describe('a mirror', () => {
  test('a branch that is replaced by a folder of branches, and back, is fetched under its new name', async () => {
    await git.git(['push', '--quiet', 'origin', 'main:feature']);
    await git.mirror.fetchTip('feature');
    await git.git(['push', '--quiet', 'origin', ':feature']);
    await git.git(['push', '--quiet', 'origin', 'main:feature/foo']);
    expect((await git.mirror.fetchTip('feature/foo')).commit).toBe(await git.tip());
    await git.git(['push', '--quiet', 'origin', ':feature/foo']);
    await git.git(['push', '--quiet', 'origin', 'main:feature']);
    expect((await git.mirror.fetchTip('feature')).commit).toBe(await git.tip());
  });

  test('maintenance repacks a mirror while other processes use it; killed in between it leaves the mirror intact, and the next one goes on', async () => {
    const { mirror } = git;
    for (let n = 0; n < 25; n += 1) {
      await git.push({ n: `${n}` });
      await mirror.fetchTip('main');
    }
    const held = await commitOn(await git.tip(), { 'unlanded.txt': 'x\n' });
    const landed = await writeObject(mirror, 'blob', Buffer.from('24'));
    const before = await sizeOfMirror(mirror.dir);
    expect(before.packs).toBeGreaterThan(20);
    // Mirror objects as other processes have them; they run nothing else, so the mirror is idle to them.
    const open = () => new Mirror({ git: mirror.git, root: join(git.folder, 'mirrors'), url: git.remote });
    const [keeper, second, another] = [open(), open(), open()];
    const abort = new AbortController();
    const killed = maintainMirror(keeper, abort.signal);
    setTimeout(() => abort.abort(), 30);
    await killed.catch(() => {});
    // Locks that a killed process leaves behind.
    await writeFile(join(mirror.dir, 'objects', 'pack', 'multi-pack-index.lock'), '');
    await writeFile(
      join(mirror.dir, 'sluice-tmp', 'maintenance.lock'),
      JSON.stringify({ pid: 2 ** 22 - 1, startTicks: '1' }),
    );
    const never = new AbortController().signal;
    // The lock of a dead process is removed first.
    expect(await maintainMirror(keeper, never)).toBe('nothing');
    // Only one of two processes on one machine does the maintenance.
    const writing = Array.from({ length: 600 }, (_, n) =>
      writeObject(mirror, 'blob', Buffer.from(`while it runs ${n}`)),
    );
    await Promise.all([
      maintainMirror(keeper, never),
      maintainMirror(second, never),
      another.fetchTip('main'),
      ...writing,
    ]);
    for (const id of await Promise.all(writing))
      expect(await another.longLived.info(id)).toMatchObject({ type: 'blob' });
    // On a busy machine a killed repack may have left some of its own.
    expect((await sizeOfMirror(mirror.dir)).packs).toBeLessThan(before.packs / 2);
    // Remove loose objects that have landed, if not done yet. Twice, because a dead lock may use up the first call.
    for (let n = 0; n < 2; n += 1) await maintainMirror(keeper, never);
    const isUnlanded = async (id: string) =>
      (await readdir(join(mirror.dir, 'unlanded', id.slice(0, 2)))).includes(id.slice(2));
    expect([await isUnlanded(landed), await isUnlanded(held.commit)]).toEqual([false, true]);
    expect(await mirror.treeOf(held.commit)).toBe(held.tree);
    expect(await another.text({ args: ['cat-file', '-p', `${held.commit}:unlanded.txt`] })).toBe('x');
    await another.run({ args: ['fsck', '--connectivity-only', '--no-dangling'] });
    another.close();
  });

  test('a mirror has the object format of its remote', async () => {
    const remote = join(git.folder, 'sha256.git');
    await git.git(['init', '--quiet', '--bare', '--object-format=sha256', '--initial-branch=main', remote], git.folder);
    const clone = join(git.folder, 'sha256');
    await git.git(['init', '--quiet', '--object-format=sha256', '--initial-branch=main', clone], git.folder);
    await git.git(['remote', 'add', 'origin', remote], clone);
    await git.write({ x: 'x\n' }, clone);
    await git.git(['add', '--all'], clone);
    await git.git(['commit', '--quiet', '-m', 'x'], clone);
    await git.git(['push', '--quiet', 'origin', 'HEAD:main'], clone);
    const mirror = new Mirror({ git: git.mirror.git, root: join(git.folder, 'mirrors'), url: remote });
    const { commit } = await mirror.fetchTip('main');
    expect([commit.length, await mirror.objectFormat()]).toEqual([64, 'sha256']);
    const built = await treeFromFiles(mirror, {
      base: commit,
      files: [
        { path: 'x', delete: true },
        { path: 'y', content: 'y\n' },
      ],
    });
    expect(built.ok && (await changedPaths(mirror, commit, built.tree)).map(({ path }) => path)).toEqual(['x', 'y']);
    mirror.close();
  });

  test('a mirror that is fetched many times at once before it exists is made once', async () => {
    const make = () => new Mirror({ git: git.mirror.git, root: join(git.folder, 'fresh'), url: git.remote });
    const mirrors = [make(), make(), make()];
    const tips = await Promise.all(mirrors.flatMap((mirror) => [mirror.fetchTip('main'), mirror.fetchTip('main')]));
    expect(new Set(tips.map(({ commit }) => commit)).size).toBe(1);
    expect(new Set(mirrors.map(({ generation }) => generation)).size).toBe(1);
    for (const mirror of mirrors) mirror.close();
  });

  test('a fetch reads the new tip after a push, even behind the ref lock of a git process that died', async () => {
    const first = await git.mirror.fetchTip('main');
    expect(first.commit).toBe(await git.tip());
    const pushed = await git.push({ 'new.txt': 'x\n' });
    const [ref] = await trackingRefs(git.mirror.dir);
    const lock = join(git.mirror.dir, `${ref}.lock`);
    await writeFile(lock, '');
    const longAgo = new Date(Date.now() - 3_600_000);
    await utimes(lock, longAgo, longAgo);
    expect((await git.mirror.fetchTip('main')).commit).toBe(pushed);
  });

  test('objects that were made here and have landed are not fetched, and become readable for slots', async () => {
    const { commit: tip } = await git.mirror.fetchTip('main');
    const one = await commitOn(tip, { 'one.txt': '1\n' });
    const two = await commitOn(one.commit, { 'two.txt': '2\n' });
    await git.mirror.askRemote({ args: ['push', '--quiet', '--', git.remote, `${two.commit}:refs/heads/main`] });
    expect(await git.mirror.fetchTip('main')).toEqual({ commit: two.commit, tree: two.tree });
    // Read without the folder of unlanded objects.
    const { dir: gitDir } = git.mirror;
    const landed = await git.mirror.git.text({
      gitDir,
      args: ['rev-list', '--objects', ...(await trackingRefs(gitDir))],
    });
    expect(landed).toContain(one.tree);
    const fetches = (await readdir(join(gitDir, 'objects', 'pack'))).filter((name) => name.endsWith('.pack'));
    expect(fetches).toHaveLength(2);
  });

  test('a missing branch and an unreadable repository are coded errors', async () => {
    await expect(git.mirror.fetchTip('no-such')).rejects.toMatchObject({ code: 'branch.missing' });
    const gone = new (git.mirror.constructor as typeof import('../../src/git/mirror.ts').Mirror)({
      git: git.mirror.git,
      root: join(git.folder, 'mirrors'),
      url: '/no/such/repository',
    });
    await expect(gone.fetchTip('main')).rejects.toMatchObject({ code: 'repository.unreadable' });
  });

  test('a branch whose name ends in another branch’s ref is not taken for that branch', async () => {
    const tip = await git.tip();
    await git.git(['commit', '--quiet', '--allow-empty', '--message', 'impostor']);
    await git.git(['push', '--quiet', 'origin', 'HEAD:refs/heads/a/refs/heads/main']);
    expect((await git.mirror.fetchTip('main')).commit).toBe(tip);
  });

  test('concurrent fetches by several mirrors of one folder do not disturb each other', async () => {
    await git.mirror.fetchTip('main');
    await git.push({ 'x.txt': 'x\n' });
    const { Mirror } = await import('../../src/git/mirror.ts');
    const twins = Array.from(
      { length: 6 },
      () => new Mirror({ git: git.mirror.git, root: join(git.folder, 'mirrors'), url: git.remote }),
    );
    const tips = await Promise.all(twins.map((twin) => twin.fetchTip('main')));
    expect(new Set(tips.map(({ commit }) => commit))).toEqual(new Set([await git.tip()]));
  });

  test('git does not read the configuration of the user', async () => {
    await mkdir(join(git.folder, 'git-home'), { recursive: true });
    await writeFile(join(git.folder, 'git-home', '.gitconfig'), '[core]\n\thooksPath = /evil\n[alias]\n\tx = y\n');
    const config = await git.mirror.git.text({ args: ['config', '--list', '--show-origin'] });
    expect(config).not.toContain('/evil');
  });
});

describe('a diff becomes a tree', () => {
  test('a diff with every kind of change gives the tree of the commit, and so does the diff made from that tree', async () => {
    const { commit: base } = await git.mirror.fetchTip('main');
    const odd: Files = {
      'a.txt': null,
      'a.txt/now-a-folder': 'x',
      'bin.dat': Buffer.from([0, 1, 2, 255, 254, 0]),
      'run.sh': { executable: '#!/bin/sh\n' },
      link: { link: 'dir/b.txt' },
      'tést "quoted"\t.txt': 'odd\n',
      'no-newline': 'end',
      'crlf.txt': 'a\r\nb\r\n',
    };
    const diff = await git.diffOf(odd);
    const built = await treeFromOwnDiff(git.mirror, { base, diff: Buffer.from(diff) });
    await git.push(odd);
    expect(built).toEqual({ ok: true, tree: await git.git(['rev-parse', 'main^{tree}'], git.remote) });
    const change = await changesBetween(git.mirror, base, (built as { tree: string }).tree);
    expect(await treeFromOwnDiff(git.mirror, { base, diff: change.diff })).toEqual(built);
    expect(change.binary).toBe(true);
    expect(change.paths.find(({ path }) => path === 'link')).toEqual({
      path: 'link',
      mode: '120000',
      oldMode: null,
      linkTarget: 'dir/b.txt',
    });
  });

  test('whole files are written, replaced and removed; removing a missing file is refused', async () => {
    const { commit: base } = await git.mirror.fetchTip('main');
    const { tree } = await commitOn(base, { 'a.txt': null, 'dir/b.txt': 'B\n', 'new/c.txt': 'c\n' });
    const paths = (await changedPaths(git.mirror, base, tree)).map(({ path, mode }) => [path, mode]);
    expect(paths).toEqual([
      ['a.txt', null],
      ['dir/b.txt', '100644'],
      ['new/c.txt', '100644'],
    ]);
    expect(await treeFromFiles(git.mirror, { base, files: [{ path: 'gone', delete: true }] })).toMatchObject({
      ok: false,
    });
  });
});

describe('a change is put on a tip', () => {
  test('a change is merged with newer commits without a checkout', async () => {
    const { commit: base } = await git.mirror.fetchTip('main');
    const ours = await commitOn(base, { 'a.txt': '1\n2\n3\n4\n5\n6\n7\n8\nNINE\n' });
    const tip = await git.push({ 'a.txt': 'ONE\n2\n3\n4\n5\n6\n7\n8\n9\n' });
    await git.mirror.fetchTip('main');
    const merged = await mergeChange(git.mirror, { tip, base, ...ours });
    expect(merged.ok).toBe(true);
    const content = await git.mirror.text({ args: ['cat-file', 'blob', `${(merged as { tree: string }).tree}:a.txt`] });
    expect(content).toBe('ONE\n2\n3\n4\n5\n6\n7\n8\nNINE');
  });

  test('the merge attributes of the tip apply: -merge and binary files conflict, union files are merged', async () => {
    const lines = Array.from({ length: 20 }, (_, n) => `${n}\n`).join('');
    const attributes = 'app.lock -merge\n*.gen binary\n';
    const before = { '.gitattributes': attributes, 'sub/.gitattributes': 'LOG merge=union\n' };
    const base = await git.push({ ...before, 'app.lock': lines, 'a.gen': lines, 'sub/LOG': 'start\n', plain: lines });
    await git.mirror.fetchTip('main');
    const ours = (files: Files) => commitOn(base, files);
    const edits = (line: string, to: string) => lines.replace(`${line}\n`, `${to}\n`);
    const patches = {
      lock: await ours({ 'app.lock': edits('1', 'A') }),
      generated: await ours({ 'a.gen': edits('1', 'A') }),
      log: await ours({ 'sub/LOG': 'start\nours\n' }),
      plain: await ours({ plain: edits('1', 'A') }),
    };
    const tip = await git.push({
      'app.lock': edits('18', 'B'),
      'a.gen': edits('18', 'B'),
      'sub/LOG': 'start\ntheirs\n',
      plain: edits('18', 'B'),
    });
    await git.mirror.fetchTip('main');
    const outcome = async (patch: Awaited<ReturnType<typeof commitOn>>) =>
      mergeChange(git.mirror, { tip, base, ...patch });
    expect(await outcome(patches.lock)).toMatchObject({
      ok: false,
      reason: 'conflict',
      evidence: { files: ['app.lock'] },
    });
    expect(await outcome(patches.generated)).toMatchObject({ ok: false, reason: 'conflict' });
    expect(await outcome(patches.plain)).toMatchObject({ ok: true });
    const united = await outcome(patches.log);
    const log = await git.mirror.text({ args: ['cat-file', 'blob', `${(united as { tree: string }).tree}:sub/LOG`] });
    expect(log.split('\n').toSorted()).toEqual(['ours', 'start', 'theirs']);
  });

  test('a conflict names files, messages and hunks', async () => {
    const { commit: base } = await git.mirror.fetchTip('main');
    const ours = await commitOn(base, { 'dir/b.txt': 'ours\n' });
    const tip = await git.push({ 'dir/b.txt': 'theirs\n' });
    await git.mirror.fetchTip('main');
    const merged = await mergeChange(git.mirror, { tip, base, ...ours });
    expect(merged).toMatchObject({ ok: false, reason: 'conflict', evidence: { files: ['dir/b.txt'] } });
    const { evidence } = merged as unknown as { evidence: { hunks: Record<string, string> } };
    expect(evidence.hunks['dir/b.txt']).toMatch(/<<<<<<<[\s\S]*theirs[\s\S]*ours[\s\S]*>>>>>>>/);
  });

  test('a change on a base that a force-push removed brings no removed content back', async () => {
    const leaked = await git.push({ leaked: 'key\n' });
    await git.mirror.fetchTip('main');
    const ours = await commitOn(leaked, { 'new.txt': 'fine\n' });
    await git.git(['reset', '--quiet', '--hard', 'HEAD^']);
    await git.git(['commit', '--quiet', '--allow-empty', '--message', 'cleaned']);
    await git.git(['push', '--quiet', '--force', 'origin', 'HEAD:main']);
    const tip = await git.mirror.fetchTip('main');
    const merged = await mergeChange(git.mirror, { tip: tip.commit, base: leaked, ...ours });
    const paths = await changedPaths(git.mirror, tip.tree, (merged as { tree: string }).tree);
    expect(paths.map(({ path }) => path)).toEqual(['new.txt']);
    // A change that needs the removed commit cannot land.
    const needs = await commitOn(leaked, { leaked: 'key 2\n' });
    expect(await mergeChange(git.mirror, { tip: tip.commit, base: leaked, ...needs })).toMatchObject({
      ok: false,
      reason: 'base_gone',
    });
  });

  test('pinned paths of a candidate are replaced by those of the tip: changed files are restored, added ones removed', async () => {
    const tip = await git.push({ 'test/one.sh': 'old\n' });
    await git.mirror.fetchTip('main');
    const { tree } = await commitOn(tip, { 'test/one.sh': 'new\n', 'test/two.sh': 'x\n', 'code.txt': 'c\n' });
    const overlaid = await treeWithPinned(git.mirror, {
      tree,
      pinnedFrom: tip,
      isPinned: (path) => path.startsWith('test/'),
    });
    const tipTree = await git.mirror.treeOf(tip);
    expect((await changedPaths(git.mirror, tipTree, overlaid)).map(({ path }) => path)).toEqual(['code.txt']);
  });
});

describe('P4: a push is compare-and-swap', () => {
  test('a push moves the branch from the expected tip, and a repeated push reports success too', async () => {
    const { commit: oldTip } = await git.mirror.fetchTip('main');
    const { commit: newCommit } = await commitOn(oldTip, { 'x.txt': 'x\n' });
    const push = { branch: 'main', oldTip, newCommit };
    expect(await pushByCompareAndSwap(git.mirror, push)).toEqual({ kind: 'pushed' });
    expect(await git.tip()).toBe(newCommit);
    expect(await pushByCompareAndSwap(git.mirror, push)).toEqual({ kind: 'pushed' });
  });

  test('a push after another committer’s reports that the branch moved, and does not overwrite it', async () => {
    const { commit: oldTip } = await git.mirror.fetchTip('main');
    const { commit: newCommit } = await commitOn(oldTip, { 'x.txt': 'x\n' });
    const theirs = await git.push({ 'theirs.txt': 'y\n' });
    expect(await pushByCompareAndSwap(git.mirror, { branch: 'main', oldTip, newCommit })).toEqual({ kind: 'moved' });
    expect(await git.tip()).toBe(theirs);
  });

  test('a push that is not a fast-forward is never sent', async () => {
    const oldTip = await git.push({ 'x.txt': 'x\n' });
    await git.mirror.fetchTip('main');
    const aside = await commitOn(`${oldTip}^`.replace(/.*/, await git.git(['rev-parse', `${oldTip}^`])), {
      'z.txt': 'z\n',
    });
    await expect(
      pushByCompareAndSwap(git.mirror, { branch: 'main', oldTip, newCommit: aside.commit }),
    ).rejects.toMatchObject({
      code: 'internal.error',
    });
    expect(await git.tip()).toBe(oldTip);
  });

  test('a refused push returns the remote’s message', async () => {
    const hook = join(git.remote, 'hooks', 'pre-receive');
    await writeFile(hook, '#!/bin/sh\necho "main is protected" >&2\nexit 1\n');
    await chmod(hook, 0o755);
    const { commit: oldTip } = await git.mirror.fetchTip('main');
    const { commit: newCommit } = await commitOn(oldTip, { 'x.txt': 'x\n' });
    const answer = await pushByCompareAndSwap(git.mirror, { branch: 'main', oldTip, newCommit });
    expect(answer).toMatchObject({ kind: 'refused', words: expect.stringContaining('main is protected') });
    expect(await readFile(hook, 'utf8')).toContain('protected');
  });
});
