import { access, lstat, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { childEnvironment, namedVariables } from '../../src/children/environment.ts';
import { treeFromOwnDiff } from '../../src/git/build-tree.ts';
import { runChild } from '../../src/lib/process.ts';
import { processesWithVariable } from '../../src/lib/process-identity.ts';
import { type CapturedChange, captureChange, rereadTree } from '../../src/workspaces/capture.ts';
import { checkOut } from '../../src/workspaces/checkout.ts';
import { Preparation } from '../../src/workspaces/prepare.ts';
import { differencesFrom, sealFolder } from '../../src/workspaces/seal.ts';
import type { Slot } from '../../src/workspaces/slot.ts';
import { SlotRack } from '../../src/workspaces/slots.ts';
import { slotsAside } from '../../src/workspaces/slots-aside.ts';

let git: GitSandbox;
let dataDir: string;
let rack: SlotRack;
let base: string;
const taken: Slot[] = [];
beforeAll(async () => {
  git = await GitSandbox.create({
    'a.txt': 'a\n',
    'dir/b.txt': 'b\n',
    'run.sh': { executable: '#!/bin/sh\n' },
    '.gitignore': 'ignored/\n*.log\n',
    '.gitattributes': '*.txt text\n*.crlf text eol=crlf\n',
  });
  dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-slots-'));
  rack = new SlotRack(dataDir);
  base = (await git.mirror.fetchTip('main')).commit;
});
afterEach(async () => {
  for (const slot of taken.splice(0)) await rack.release(slot);
});
afterAll(async () => {
  await rm(dataDir, { recursive: true, force: true });
  await git.remove();
});

async function slotAtBase(): Promise<Slot> {
  const slot = await rack.acquire();
  taken.push(slot);
  await checkOut(git.mirror, slot, base);
  return slot;
}

async function runIn(slot: Slot, script: string): Promise<void> {
  await mkdir(slot.child.home, { recursive: true });
  const { ending, stderr } = await runChild({
    argv: ['sh', '-ec', script],
    cwd: slot.work,
    env: { PATH: process.env.PATH!, HOME: slot.child.home },
    timeoutMs: 20_000,
  });
  if (ending.kind !== 'exited' || ending.exitCode !== 0) throw new Error(`${JSON.stringify(ending)} ${stderr}`);
}

const attempt = (slot: Slot) => captureChange(git.mirror, slot, { base, keptPaths: ['kept'] });
const capture = async (slot: Slot): Promise<CapturedChange> => {
  const captured = await attempt(slot);
  if (!captured.ok) throw new Error(JSON.stringify(captured.refusal));
  return captured;
};
const pathsOf = async (slot: Slot) => (await capture(slot)).paths.map(({ path, mode }) => `${path} ${mode}`);

describe('a captured change is the difference between the base tree and the files', () => {
  test('an unchanged worktree gives no change', async () => {
    const change = await capture(await slotAtBase());
    expect(change.tree).toBe(change.baseTree);
    expect(change.paths).toEqual([]);
  });

  test('new, changed, deleted, renamed, executable, linked, binary and oddly named files are captured', async () => {
    const slot = await slotAtBase();
    await runIn(
      slot,
      `printf new > new.txt; echo more >> a.txt; git mv -f dir/b.txt moved.txt 2>/dev/null || mv dir/b.txt moved.txt
       chmod +x a.txt; ln -s moved.txt link; printf '\\000\\377' > 'bin ary'; printf x > "tab$(printf '\\t')here"; chmod -x run.sh`,
    );
    expect(await pathsOf(slot)).toEqual([
      'a.txt 100755',
      'bin ary 100644',
      'dir/b.txt null',
      'link 120000',
      'moved.txt 100644',
      'new.txt 100644',
      'run.sh 100644',
      'tab\there 100644',
    ]);
  });

  test('commits on any branch, staged files and unstaged files are captured', async () => {
    const slot = await slotAtBase();
    await runIn(
      slot,
      'git checkout -qb mine; echo 1 > one.txt; git add .; git commit -qm one; echo 2 > two.txt; git add two.txt; echo 3 > three.txt',
    );
    expect(await pathsOf(slot)).toEqual(['one.txt 100644', 'three.txt 100644', 'two.txt 100644']);
  });

  test('ignored files and kept paths are left out', async () => {
    const slot = await slotAtBase();
    await runIn(slot, 'mkdir -p ignored kept; echo x > ignored/x; echo x > x.log; echo x > kept/x; echo x > seen');
    expect(await pathsOf(slot)).toEqual(['seen 100644']);
  });

  test('a nested git repository with a commit is refused as embedded_repository', async () => {
    const slot = await slotAtBase();
    await runIn(
      slot,
      'git init -q inner; cd inner; echo x > x; git add x; git -c user.name=a -c user.email=a@b commit -qm x',
    );
    expect(await attempt(slot)).toMatchObject({
      refusal: { reason: 'embedded_repository', evidence: { path: 'inner' } },
    });
  });

  test.each([
    ['a repository without a commit', 'git init -q deep/inner', 'embedded_repository', 'deep/inner'],
    ['a pipe in place of a tracked file', 'rm a.txt; mkfifo a.txt', 'not_capturable', 'a.txt'],
    [
      'a pipe that git would read rules from',
      'mkdir n; mkfifo n/.gitignore; echo x > n/x',
      'not_capturable',
      'n/.gitignore',
    ],
    ['.gitmodules as a link', 'ln -s a.txt .gitmodules', 'unsafe_path', '.gitmodules'],
    ['the work tree gone', 'cd ..; rm -rf work', 'not_capturable', '.'],
    ['the work tree as a link that leads out of it', 'cd ..; rm -rf work; ln -s /etc work', 'not_capturable', '.'],
  ])('%s is refused, and the evidence names the path', async (_what, script, reason, path) => {
    const slot = await slotAtBase();
    await runIn(slot, script);
    expect(await attempt(slot)).toMatchObject({ ok: false, refusal: { reason, evidence: { path } } });
  });

  test('files that .gitignore excludes are listed; kept paths are not, ignored or not', async () => {
    const slot = await slotAtBase();
    await runIn(
      slot,
      'mkdir -p ignored/deep kept src; echo x > ignored/deep/x; echo x > src/y.log; echo k > kept/k; mkfifo a-pipe; echo "kept/" >> .gitignore',
    );
    const change = await capture(slot);
    expect(change.ignored).toEqual(['a-pipe', 'ignored', 'src/y.log']);
    expect(change.paths.map(({ path }) => path)).toEqual(['.gitignore']);
  });

  test('tracked files below a kept path are captured unchanged, even if the tool removed or changed them', async () => {
    const own = await git.push({ 'kept/.gitkeep': '', 'kept/data': 'd\n' });
    await git.mirror.fetchTip('main');
    const slot = await rack.acquire();
    taken.push(slot);
    await checkOut(git.mirror, slot, own);
    await runIn(slot, 'rm kept/.gitkeep; echo x > kept/data; echo y > kept/new; echo z > z');
    const change = await captureChange(git.mirror, slot, { base: own, keptPaths: ['kept'] });
    expect(change.ok && change.paths.map(({ path }) => path)).toEqual(['z']);
  });

  test('file names that are not UTF-8 are captured byte for byte', async () => {
    const slot = await slotAtBase();
    await runIn(slot, `printf x > "$(printf 'na\\357ve')"`);
    const change = await capture(slot);
    expect(await git.mirror.text({ args: ['ls-tree', '--name-only', change.tree] })).toContain('"na\\357ve"');
  });

  test('git settings, hooks and refs that a tool changes in its slot affect neither the capture nor the mirror', async () => {
    const slot = await slotAtBase();
    const marker = join(dataDir, 'owned');
    const tipBefore = await git.tip();
    await runIn(
      slot,
      `git config core.fsmonitor 'touch ${marker}'; git config core.hooksPath .; git config filter.x.clean 'touch ${marker}'
       echo '* filter=x' > .git/info/attributes 2>/dev/null || true
       printf '#!/bin/sh\\ntouch ${marker}\\n' > .git/hooks/post-index-change 2>/dev/null || true
       git branch -f main HEAD; git update-ref refs/heads/evil HEAD; echo '*.txt filter=x' > .gitattributes; echo y > y.txt`,
    );
    const refsBefore = await git.mirror.text({ args: ['for-each-ref'] });
    expect(await pathsOf(slot)).toEqual(['.gitattributes 100644', 'y.txt 100644']);
    await expect(access(marker)).rejects.toThrow();
    expect(await git.mirror.text({ args: ['for-each-ref'] })).toBe(refsBefore);
    expect(await git.mirror.text({ args: ['config', '--local', '--list'] })).not.toContain('fsmonitor');
    expect(await git.tip()).toBe(tipBefore);
  });

  test('for any edit the captured tree equals the tree of the captured diff on the base', {
    timeout: 120_000,
  }, async () => {
    const name = fc.constantFrom('a.txt', 'dir/b.txt', 'new', 'deep/er/x', 'sp ace', 'ünïcode', 'data.crlf', 'run.sh');
    const edit = fc.oneof(
      fc.record({ kind: fc.constant('write' as const), name, content: fc.string({ maxLength: 200 }) }),
      fc.record({ kind: fc.constant('bytes' as const), name, content: fc.uint8Array({ maxLength: 200 }) }),
      fc.record({ kind: fc.constant('remove' as const), name }),
      fc.record({ kind: fc.constant('mode' as const), name }),
      fc.record({ kind: fc.constant('link' as const), name }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { maxLength: 6 }), async (edits) => {
        const slot = await slotAtBase();
        for (const change of edits) await applyEdit(slot, change);
        const captured = await capture(slot);
        const rebuilt =
          captured.paths.length === 0
            ? { ok: true, tree: captured.baseTree }
            : await treeFromOwnDiff(git.mirror, { base, diff: captured.diff });
        expect(rebuilt).toEqual({ ok: true, tree: captured.tree });
        await rack.release(taken.pop()!);
      }),
      { numRuns: 40 },
    );
  });
});

async function applyEdit(
  slot: Slot,
  change: { kind: string; name: string; content?: string | Uint8Array },
): Promise<void> {
  const file = join(slot.work, change.name);
  const files = { [change.name]: Buffer.from(change.content ?? '') };
  switch (change.kind) {
    case 'remove':
      return rm(file, { force: true, recursive: true });
    case 'link':
      return git.write({ [change.name]: { link: 'somewhere' } }, slot.work);
    case 'mode':
      return git.write({ [change.name]: { executable: '#!/bin/sh\n' } }, slot.work);
    default:
      return git.write(files, slot.work);
  }
}

describe('slots', () => {
  test('slot numbers are unique while held, paths are reused, and no file of the last child stays', async () => {
    const [one, two] = [await slotAtBase(), await slotAtBase()];
    expect(two.number).not.toBe(one.number);
    await runIn(one, `echo x > left.txt; echo y > "$HOME/left"; mkdir locked; touch locked/x; chmod 000 locked`);
    await rack.release(one);
    taken.shift();
    const again = await slotAtBase();
    expect(again.work).toBe(one.work);
    await expect(access(join(again.work, 'left.txt'))).rejects.toThrow();
    await expect(access(join(again.child.home, 'left'))).rejects.toThrow();
  });

  test('a warm slot detects edits by times that only the kernel sets, so one with its times set back is undone too', async () => {
    const own = new SlotRack(join(dataDir, 'own'));
    const slot = await own.acquire();
    await checkOut(git.mirror, slot, base);
    expect(slot.content?.commit).toBe(base);
    await runIn(
      slot,
      `mkdir -p ignored; echo x > ignored/x; touch -r a.txt ref; printf 'A\n' > a.txt; touch -r ref a.txt; rm -r dir; chmod -x run.sh`,
    );
    await own.release(slot);
    const again = await own.acquire(git.mirror);
    expect(again.number).toBe(slot.number);
    expect(again.content?.restore?.toSorted()).toEqual(['a.txt', 'dir', 'dir/b.txt', 'run.sh']);
    await checkOut(git.mirror, again, base);
    const seal = await differencesFrom(again.content!.seal, again.work);
    expect(seal).toEqual({ added: [], broken: [] });
    expect((await capture(again)).paths).toEqual([]);
    expect((await readdir(again.work)).toSorted()).toEqual([
      '.git',
      '.gitattributes',
      '.gitignore',
      '.sluice.yaml',
      'README.md',
      'a.txt',
      'dir',
      'run.sh',
    ]);
    await own.release(again);
    await own.close();
    expect(await readdir(again.dir)).toEqual([]);
  });

  test('after any edits a warm slot holds the next commit and nothing else', async () => {
    const commits = [base, await git.push({ 'a.txt': null, dir: 'a file now\n', 'new/deep/file': 'x\n' })];
    await git.mirror.fetchTip('main');
    const edits = fc.array(
      fc.constantFrom(
        'echo x >> a.txt',
        'rm -rf dir',
        'mkdir -p dir && echo y > dir/y',
        'rm -f a.txt && mkdir a.txt',
        'ln -sf /etc/passwd run.sh',
        'git add -A',
        'git commit -qam x || true',
        'git checkout -qb other',
        'chmod 000 new || true',
        'mkdir -p ignored/z && echo x > ignored/z/z',
        'rm -rf .git',
        'mv run.sh moved.sh || true',
        'touch a.txt',
        'mkdir -p empty/er',
      ),
      { maxLength: 4 },
    );
    const rounds = fc.array(fc.record({ edits, to: fc.constantFrom(...commits) }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(rounds, async (steps) => {
        for (const { edits: scripts, to } of steps) {
          const slot = await rack.acquire(git.mirror);
          await checkOut(git.mirror, slot, to);
          const cold = await rack.acquire({ dir: 'another' });
          cold.content = undefined;
          await checkOut(git.mirror, cold, to);
          const list = async (of: Slot) =>
            [...(await sealFolder(of.work)).keys()].filter((path) => !path.startsWith('.git/')).toSorted();
          expect(await list(slot)).toEqual(await list(cold));
          const baseTree = await git.mirror.treeOf(to);
          expect(await captureChange(git.mirror, slot, { base: to, keptPaths: [] })).toMatchObject({ tree: baseTree });
          expect(await rereadTree(git.mirror, slot, to)).toBe(baseTree);
          await runIn(slot, scripts.map((script) => `${script} 2>/dev/null || true`).join('\n'));
          await rack.release(slot);
          await rack.release(cold);
        }
      }),
      { numRuns: 25 },
    );
  });

  test('a slot has the objects of its commit and of the branch, warm or not, and none of other tasks', async () => {
    const secret = await git.commitOn(base, { 'secret.txt': 'of another task\n' });
    const first = await git.commitOn(base, { 'a.txt': 'first\n' });
    const second = await git.commitOn(first.commit, { 'a.txt': 'second\n' });
    for (const { commit } of [first, second]) {
      const slot = await rack.acquire(git.mirror);
      taken.push(slot);
      await checkOut(git.mirror, slot, commit);
      const inSlot = (...args: string[]) => git.git(args, slot.work);
      expect(await inSlot('status', '--porcelain')).toBe('');
      await inSlot('fsck', '--strict');
      const objects = await inSlot('cat-file', '--batch-all-objects', '--batch-check');
      expect(objects).toContain(commit);
      expect(objects).not.toContain(secret.commit);
      if (commit === first.commit) expect(objects).not.toContain(second.commit);
      expect((await readdir(join(slot.work, '.git/objects/pack'))).length).toBe(2);
      expect(
        (await differencesFrom(slot.content!.seal, slot.work)).broken.filter((path) => path !== '.git/index'),
      ).toEqual([]);
      await rack.release(taken.pop()!);
    }
  });

  test('P7: a pipe in place of the index, a link in place of HOME and closed folders do not reach the next child', async () => {
    const own = new SlotRack(join(dataDir, 'hostile'));
    const outside = await mkdtemp(join(tmpdir(), 'sluice-test-outside-'));
    for (const script of [
      'rm .git/index; mkfifo .git/index',
      `rmdir "$HOME"; ln -s ${outside} "$HOME"`,
      'chmod 500 . "$HOME"',
      'printf x > "$(printf \'caf\\351\')"',
    ]) {
      const slot = await own.acquire(git.mirror);
      await checkOut(git.mirror, slot, base);
      expect((await lstat(slot.work)).mode & 0o777).toBe(0o755);
      expect((await capture(slot)).paths).toEqual([]);
      await runIn(slot, script);
      await own.release(slot);
    }
    await own.close();
    await rm(outside, { recursive: true });
  });

  test('P7: a slot that cannot be emptied or written is set aside and listed with the reason until it is repaired', async () => {
    const folder = join(dataDir, 'spoilt');
    const own = new SlotRack(folder);
    const immutable = async (flag: '+i' | '-i', path: string) => {
      const { ending } = await runChild({
        argv: ['chattr', flag, path],
        cwd: '/',
        env: { PATH: process.env.PATH! },
        timeoutMs: 5_000,
      });
      expect(ending).toEqual({ kind: 'exited', exitCode: 0 });
    };
    const first = await own.acquireWith(git.mirror, base);
    await runIn(first, 'echo x > "$HOME/stays"');
    const stays = join(first.child.home, 'stays');
    await immutable('+i', stays);
    await own.release(first);
    const second = await own.acquireWith(git.mirror, base);
    // Empty, but no file can be created in it.
    const third = await own.acquire();
    await own.release(second);
    await immutable('+i', third.dir);
    await own.release(third);
    const taken = [await own.acquireWith(git.mirror, base), await own.acquireWith(git.mirror, base)];
    expect(taken.map(({ number }) => number)).toEqual([2, 4]);
    expect(await slotsAside(folder)).toEqual([
      { slot: 1, reason: expect.stringContaining('not permitted'), since: expect.any(String) },
      { slot: 3, reason: expect.stringContaining('not permitted'), since: expect.any(String) },
    ]);
    await immutable('-i', stays);
    await immutable('-i', third.dir);
    for (const slot of taken) await own.release(slot);
    await own.close();
    expect(await slotsAside(folder)).toEqual([]);
    expect(await own.sweep()).toEqual([]);
  });

  test('the files of a slot belong to the slot’s user, warm or not, and unchanged files keep their seal', async () => {
    const uid = 65_001;
    const own = new SlotRack(join(dataDir, 'others'), undefined, async () => uid);
    const { commit } = await git.commitOn(base, { 'new/file.txt': 'new\n', 'a.txt': 'changed\n' });
    for (const next of [base, commit, base]) {
      const slot = await own.acquireWith(git.mirror, next);
      const paths = [...(await sealFolder(slot.work)).keys()];
      const owners = await Promise.all(paths.map(async (path) => (await lstat(join(slot.work, path))).uid));
      expect(new Set(owners)).toEqual(new Set([uid]));
      const { added, broken } = await differencesFrom(slot.content!.seal, slot.work);
      expect([added, broken]).toEqual([[], []]);
      await own.release(slot);
    }
    await own.close();
  });

  test('P8: the slot of a dead process is swept, and its leftover children are killed', async () => {
    const owner = await runChild({
      argv: [
        process.execPath,
        '-e',
        `import('${join(import.meta.dirname, '../../src/workspaces/slots.ts')}').then(async ({ SlotRack }) => {
           const slot = await new SlotRack(${JSON.stringify(dataDir)}).acquire();
           const { spawn } = await import('node:child_process');
           const child = spawn('sleep', ['300'], { detached: true, stdio: 'ignore', env: { ...process.env, TMPDIR: slot.child.tmp } });
           child.unref();
           console.log(JSON.stringify({ number: slot.number, tmp: slot.child.tmp }));
           process.exit(0);
         })`,
      ],
      cwd: dataDir,
      env: { PATH: process.env.PATH! },
      timeoutMs: 20_000,
    });
    const left = JSON.parse(owner.stdout.toString()) as { number: number; tmp: string };
    expect(await processesWithVariable(`TMPDIR=${left.tmp}`)).toHaveLength(1);
    expect(await rack.sweep()).toEqual([left.number]);
    await expect.poll(() => processesWithVariable(`TMPDIR=${left.tmp}`)).toEqual([]);
    expect(await rack.sweep()).toEqual([]);
  });

  test('P8: a slot whose owner died before it wrote its identity is swept after a while', async () => {
    const folder = join(dataDir, 'nameless');
    const nameless = join(folder, 'slots', '1');
    await mkdir(nameless, { recursive: true });
    await writeFile(join(nameless, 'owner'), '');
    const own = new SlotRack(folder);
    expect(await own.sweep()).toEqual([]);
    const longAgo = new Date(Date.now() - 120_000);
    await utimes(join(nameless, 'owner'), longAgo, longAgo);
    expect(await own.sweep()).toEqual([1]);
  });

  test('the slot of a living process is not swept', async () => {
    await slotAtBase();
    expect(await rack.sweep()).toEqual([]);
  });

  test('rereading the tree compares content, not timestamps', async () => {
    const slot = await slotAtBase();
    const tree = await git.mirror.treeOf(base);
    await runIn(slot, 'touch -r a.txt ref; echo untracked > new; printf "A\\n" > a.txt; touch -r ref a.txt');
    expect(await rereadTree(git.mirror, slot, base)).not.toBe(tree);
    await runIn(slot, 'printf "a\\n" > a.txt');
    expect(await rereadTree(git.mirror, slot, base)).toBe(tree);
  });
});

test('P7: the environment of a child holds what the contract names, and no setting of the daemon even if asked for', async () => {
  const slot = await slotAtBase();
  const context = {
    runId: 'run_1',
    taskId: 'task_1',
    attempt: 2,
    baseCommit: base,
    input: { a: 1 },
    evidence: { why: 'x' },
  };
  const daemon = { PATH: '/bin', API_KEY: 'k', OTHER: 'o', DATABASE_URL: 'postgresql://secret', SLUICE_TOKEN: 't' };
  const asked = ['API_KEY', 'MISSING', 'DATABASE_URL', 'SLUICE_TOKEN'];
  const environment = { ...(await childEnvironment(slot, context, daemon)), ...namedVariables(asked, daemon) };
  expect(Object.keys(environment).toSorted()).toEqual(
    [
      'API_KEY',
      'CI',
      'HOME',
      'PATH',
      'SLUICE_ATTEMPT',
      'SLUICE_BASE_COMMIT',
      'SLUICE_COST_FILE',
      'SLUICE_EVIDENCE_FILE',
      'SLUICE_INPUT_FILE',
      'SLUICE_MESSAGE_FILE',
      'SLUICE_RUN_ID',
      'SLUICE_SLOT',
      'SLUICE_TASK_ID',
      'TMPDIR',
    ].toSorted(),
  );
  expect(JSON.parse(await readFile(environment.SLUICE_INPUT_FILE!, 'utf8'))).toEqual({ a: 1 });
  expect(JSON.parse(await readFile(environment.SLUICE_EVIDENCE_FILE!, 'utf8'))).toEqual({ why: 'x' });
});

describe('prepare', () => {
  const step = {
    name: 'deps',
    command: ['sh', '-c', 'mkdir kept; date +%N > kept/made'],
    key_files: ['a.txt'],
    env: [],
    kept_paths: ['kept'],
    timeout_seconds: 10,
  };
  const call = (slot: Slot, landed: boolean) => ({
    mirror: git.mirror,
    slot,
    steps: [step],
    commit: base,
    landed,
    runStep: ({ command, timeout_seconds }: { command: string[]; timeout_seconds: number }) =>
      runChild({ argv: command, cwd: slot.work, env: { PATH: process.env.PATH! }, timeoutMs: timeout_seconds * 1_000 }),
  });

  const limits = { maxBytes: 1e9, unusedDays: 1 };

  test('results of a landed tree are cached by key and copied, so that a corrupted copy affects only its own slot', async () => {
    const preparation = new Preparation({ dataDir, searchPath: process.env.PATH!, limits });
    const made = async (landed: boolean) => {
      const slot = await slotAtBase();
      expect(await preparation.run(call(slot, landed))).toEqual({ ok: true });
      const text = await readFile(join(slot.work, 'kept/made'), 'utf8');
      await runIn(slot, 'echo spoilt > kept/made');
      return text;
    };
    const candidate = await made(false);
    const first = await made(true);
    expect(first).not.toBe(candidate);
    expect(await made(true)).toBe(first);
    expect(await made(false)).toBe(first);
  });

  test('P3: files of the commit below a kept path have the commit’s content, whatever the cache holds', async () => {
    const preparation = new Preparation({ dataDir, searchPath: process.env.PATH!, limits });
    const vendor = { ...step, name: 'vendor', command: ['sh', '-c', 'echo made > dir/made'], kept_paths: ['dir'] };
    for (const landed of [true, false, false]) {
      const slot = await slotAtBase();
      expect(await preparation.run({ ...call(slot, landed), steps: [vendor] })).toEqual({ ok: true });
      expect(await readFile(join(slot.work, 'dir/b.txt'), 'utf8')).toBe('b\n');
      expect(await rereadTree(git.mirror, slot, base)).toBe(await git.mirror.treeOf(base));
      await runIn(slot, 'echo changed > dir/b.txt');
      expect(await rereadTree(git.mirror, slot, base)).not.toBe(await git.mirror.treeOf(base));
      await rack.release(slot);
      taken.pop();
    }
  });

  test('prepared files of a candidate do not reach the next one, and a nested kept path is restored with its outer one', async () => {
    const preparation = new Preparation({ dataDir, searchPath: process.env.PATH!, limits });
    const outer = { ...step, name: 'outer', command: ['sh', '-c', 'mkdir -p nm/dep'], kept_paths: ['nm', 'side'] };
    const inner = { ...step, name: 'inner', command: ['sh', '-c', 'echo g > nm/gen'], kept_paths: ['nm/gen'] };
    const own = new SlotRack(join(dataDir, 'nested'));
    const evil = { ...outer, command: ['sh', '-c', 'mkdir -p nm/dep side; echo evil > side/x'] };
    for (const steps of [[outer, inner], [evil], [outer, inner], [outer, inner]]) {
      const slot = await own.acquire(git.mirror);
      await checkOut(git.mirror, slot, base);
      expect(await preparation.run({ ...call(slot, steps[0] === outer), steps })).toEqual({ ok: true });
      if (steps[0] === outer) {
        expect((await readdir(join(slot.work, 'nm'))).toSorted()).toEqual(['dep', 'gen']);
        await expect(access(join(slot.work, 'side'))).rejects.toThrow();
      }
      await runIn(slot, 'echo x > nm/cache');
      await own.release(slot);
    }
    await own.close();
  });

  test('P7: a link in place of a folder above a kept path does not make Sluice remove files outside the slot', async () => {
    const preparation = new Preparation({ dataDir, searchPath: process.env.PATH!, limits });
    const outside = await mkdtemp(join(tmpdir(), 'sluice-test-outside-'));
    await mkdir(join(outside, 'nm'));
    await writeFile(join(outside, 'nm', 'stays'), '');
    const inner = {
      ...step,
      name: 'front',
      command: ['sh', '-c', 'mkdir -p front/nm; echo made > front/nm/made'],
      kept_paths: ['front/nm'],
    };
    const link = {
      ...step,
      name: 'link',
      command: ['sh', '-c', `rm -rf front; ln -s ${outside} front`],
      kept_paths: [],
    };
    const own = new SlotRack(join(dataDir, 'linked'));
    for (const steps of [
      [inner],
      [link, inner],
      [{ ...inner, command: ['sh', '-c', `mkdir nm; ${link.command[2]}`] }],
    ]) {
      const slot = await own.acquireWith(git.mirror, base);
      expect(await preparation.run({ ...call(slot, true), steps })).toEqual({ ok: true });
      await own.release(slot);
    }
    expect(await readdir(join(outside, 'nm'))).toContain('stays');
    await own.close();
    await rm(outside, { recursive: true });
  });

  test('a prepare step that fails is named', async () => {
    const preparation = new Preparation({ dataDir, searchPath: process.env.PATH!, limits });
    const slot = await slotAtBase();
    const failing = { ...call(slot, true), steps: [{ ...step, name: 'broken', command: ['false'] }] };
    expect(await preparation.run(failing)).toMatchObject({ ok: false, step: 'broken' });
  });
});
