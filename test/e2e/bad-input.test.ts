import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, shell, specOf, startSluice } from '../support/run-sluice.ts';

let git: GitSandbox;
let sluice: RunningSluice;
let base: string;
beforeAll(async () => {
  git = await GitSandbox.create({ 'a.txt': 'one\ntwo\n', 'dir/b.txt': 'b\n' });
  base = await git.tip();
  sluice = await startSluice();
});
afterAll(async () => {
  await sluice.stop();
  await git.remove();
});

/** No input of these tests may ever reach the branch. */
afterAll(async () => {
  expect(await git.tip()).toBe(base);
});

const patchTask = (input: object, more: object = {}) => ({ name: 'p', tool: 'patch', input, ...more }) as never;
const unified = (content: string, more: object = {}) => patchTask({ format: 'unified_diff', content, ...more });
const newFile = (path: string) => `--- /dev/null\n+++ b/${path}\n@@ -0,0 +1 @@\n+x\n`;

async function verdictOn(task: never) {
  const { run, patch, task: taskOf } = await sluice.finish(specOf(git.remote, [task]));
  expect(run.state).toBe('FAILED');
  expect(taskOf('p').state).toBe('FAILED');
  return patch('p');
}

describe('a patch that may not land is QUARANTINED with its reason', () => {
  test.each([
    ['a path that leaves the tree', unified(newFile('../../etc/cron.d/x')), 'unsafe_path'],
    ['an absolute path', unified('--- /dev/null\n+++ /etc/passwd\n@@ -0,0 +1 @@\n+x\n'), 'unsafe_path'],
    ['a path in .git', unified(newFile('.git/config')), 'unsafe_path'],
    ['a path in .git, in another case', unified(newFile('sub/.GIT/hooks/pre-commit')), 'unsafe_path'],
    [
      'a quoted path that leaves the tree',
      unified('--- /dev/null\n+++ "b/\\056\\056/x"\n@@ -0,0 +1 @@\n+x\n'),
      'unsafe_path',
    ],
    [
      'a rename out of the tree',
      patchTask({
        format: 'git_patch',
        content: 'diff --git a/a.txt b/../x\nsimilarity index 100%\nrename from a.txt\nrename to ../x\n',
      }),
      'unsafe_path',
    ],
    [
      'an inline path that leaves the tree',
      patchTask({ format: 'inline', files: [{ path: 'a/../../x', content: 'x' }] }),
      'unsafe_path',
    ],
    [
      'a symbolic link out of the tree',
      patchTask({ format: 'inline', files: [{ path: 'link', content: '../../etc', mode: '120000' }] }),
      'link_leaves_tree',
    ],
    [
      'an inline path that is a folder',
      patchTask({ format: 'inline', files: [{ path: 'dir', content: 'x' }] }),
      'does_not_apply',
    ],
    [
      'an inline path below a file',
      patchTask({ format: 'inline', files: [{ path: 'a.txt/x', content: 'x' }] }),
      'does_not_apply',
    ],
    [
      'an inline path given twice',
      patchTask({
        format: 'inline',
        files: [
          { path: 'n', content: '1' },
          { path: 'n', content: '2' },
        ],
      }),
      'does_not_apply',
    ],
    [
      'a Windows short name of .git',
      patchTask({ format: 'inline', files: [{ path: 'git~1/config', content: 'x' }] }),
      'unsafe_path',
    ],
    ['NUL in a quoted path', unified('--- /dev/null\n+++ "b/x\\000y"\n@@ -0,0 +1 @@\n+x\n'), 'unsafe_path'],
    [
      'an insertion located by its line number alone',
      unified('--- a/a.txt\n+++ b/a.txt\n@@ -1,0 +2 @@\n+x\n'),
      'malformed',
    ],
    ['a new file in place of the policy', unified(newFile('.sluice.yaml')), 'does_not_apply'],
    ['text that is not a diff', unified('this is no diff\n'), 'malformed'],
    ['a truncated hunk', unified('--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,9 @@\n one\n'), 'malformed'],
    [
      'removed lines that the file does not have',
      unified('--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-three\n+x\n'),
      'does_not_apply',
    ],
    [
      'a context diff without hunks',
      patchTask({ format: 'context_diff', content: '*** a/a.txt\n--- b/a.txt\n' }),
      'malformed',
    ],
    ['a base commit that does not exist', unified(newFile('x'), { base: '1'.repeat(40) }), 'base_unknown'],
    [
      'content that changes nothing',
      patchTask({ format: 'inline', files: [{ path: 'a.txt', content: 'one\ntwo\n' }] }),
      'empty',
    ],
    [
      'binary content that the policy does not allow',
      patchTask({ format: 'inline', files: [{ path: 'bin', content_base64: 'AAH/' }] }),
      'binary_content',
    ],
    [
      'a change larger than the policy allows',
      patchTask({ format: 'inline', files: [{ path: 'big', content: 'x\n'.repeat(700_000) }] }),
      'too_large',
    ],
  ])('%s', async (_what, task, reason) => {
    expect(await verdictOn(task as never)).toMatchObject({ state: 'QUARANTINED', reason });
  });

  test('the bytes of a quarantined patch are stored unchanged, NUL included', async () => {
    const content = `no diff \0 at all\n`;
    const patch = await verdictOn(unified(content));
    expect(patch).toMatchObject({ state: 'QUARANTINED', reason: 'malformed' });
    expect((await sluice.client.patches.diff(patch!.id)).toString()).toBe(content);
  });

  test('the patch of a tool that makes a nested git repository is quarantined', async () => {
    const { patch } = await sluice.finish(
      specOf(git.remote, [
        shell(
          'nested',
          'git init -q in; cd in; echo x > x; git add x; git -c user.name=a -c user.email=a@b commit -qm x',
        ),
      ]),
    );
    expect(patch('nested')).toMatchObject({ state: 'QUARANTINED', reason: 'embedded_repository' });
  });
});

describe('an invalid spec is refused as a whole, with the path of each problem', () => {
  const refused = async (spec: unknown) => {
    const error = await sluice.client.runs.submit(spec as never).catch((cause: unknown) => cause);
    return error as { code: string; problems: { path: string; message: string }[] };
  };

  test.each([
    [
      'a cycle',
      specOf('r', [shell('a', 'x', { depends_on: ['b'] }), shell('b', 'x', { depends_on: ['a'] })]),
      'workstreams[0].tasks',
    ],
    ['a tool that does not exist', specOf('r', [{ name: 'a', tool: 'comand' }]), 'workstreams[0].tasks[0].tool'],
    ['blank content', specOf('r', [unified('  \n')]), 'workstreams[0].tasks[0].input.content'],
    [
      'a commit trailer that Sluice reserves',
      specOf('r', [shell('a', 'x', { message: 'x\n\nSluice-Patch: patch_1' })]),
      'workstreams[0].tasks[0].message',
    ],
    ['NUL in an argument', specOf('r', [shell('a', 'x\0y')]), 'workstreams[0].tasks[0].input.argv[2]'],
    [
      'an author that git would refuse',
      specOf('r', [unified(newFile('x'), { author: { name: '. .', email: 'a@b' } })]),
      'workstreams[0].tasks[0].input.author.name',
    ],
    ['a repository that git would read as an option', specOf('--upload-pack=id', [shell('a', 'x')]), 'repository'],
  ])('%s', async (_what, spec, path) => {
    const error = await refused(spec);
    expect(error.code).toBe('spec.invalid');
    expect(error.problems.map((problem) => problem.path)).toEqual([path]);
  });

  test('a diff of 50 MB is refused before it is stored', async () => {
    const error = await refused(specOf(git.remote, [unified(newFile('x') + 'x'.repeat(50 * 1024 * 1024))]));
    expect(error.code).toBe('spec.invalid');
    expect(error.problems[0]).toMatchObject({ path: 'workstreams[0].tasks[0].input' });
    const larger = await refused(specOf(git.remote, [unified('x'.repeat(70 * 1024 * 1024))]));
    expect(larger.code).toBe('body.too_large');
  });

  test('a refused spec and a dry run store nothing', async () => {
    const before = await sluice.deps.daos.runs.count();
    await refused({ name: 'x' });
    await sluice.client.runs.validate(specOf(git.remote, [shell('a', 'true')]));
    expect(await sluice.deps.daos.runs.count()).toBe(before);
  });
});

describe('a run whose target cannot be read is FAILED with the reason', () => {
  test.each([
    ['a repository that does not exist', { repository: '/no/such/repository' }, 'repository.unreadable'],
    ['a branch that is missing', { branch: 'no-such-branch' }, 'branch.missing'],
  ])('%s', async (_what, more, reason) => {
    const { run, task } = await sluice.finish(specOf(git.remote, [shell('a', 'true')], more));
    expect(run).toMatchObject({ state: 'FAILED', reason });
    expect(run.evidence?.message).toEqual(expect.any(String));
    expect(task('a').state).toBe('CANCELLED');
  });

  test.each([
    ['missing', null],
    ['broken', { gates: [{ name: 'x', comand: ['true'] }] }],
  ])('a policy that is %s', async (_what, policy) => {
    const own = await GitSandbox.create({}, policy);
    const made = { name: 'made', tool: 'patch', input: { format: 'inline', files: [{ path: 'x', content: 'x' }] } };
    const { run } = await sluice.finish(specOf(own.remote, [shell('a', 'echo x > x'), made]));
    expect(run).toMatchObject({ state: 'FAILED', reason: 'policy.invalid' });
    expect(run.evidence?.message).toContain('.sluice.yaml');
    const patch = await eventually('the end of its patch', async () => {
      const { patch: patchOf } = await sluice.whole(run.id);
      return patchOf('made')?.state === 'EXPIRED' ? patchOf('made') : undefined;
    });
    expect(patch).toMatchObject({
      reason: 'policy.invalid',
      evidence: { message: expect.stringContaining('.sluice.yaml') },
    });
    await own.remove();
  });
});

test('a run of 10,000 tasks is accepted, queued and cancelled as a whole', async () => {
  const idle = await startSluice({ workers: [] });
  const tasks = Array.from({ length: 10_000 }, (_, n) => shell(`t${n}`, 'true'));
  const { id } = await idle.client.runs.submit(specOf(git.remote, tasks));
  await eventually(
    '10,000 tasks in the queue',
    async () => (await idle.deps.daos.tasks.count({ run_id: id, state: 'QUEUED' })) === 10_000,
  );
  expect(await idle.client.runs.cancel(id)).toMatchObject({ state: 'FAILED', outcome: 'cancelled' });
  expect(await idle.deps.daos.tasks.count({ run_id: id, state: 'CANCELLED' })).toBe(10_000);
  await idle.stop();
});
