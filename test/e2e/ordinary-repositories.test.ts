import { beforeAll, describe, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, shell, specOf, startSluice } from '../support/run-sluice.ts';

let sluice: RunningSluice;
beforeAll(async () => {
  const asks = { argv: ['sh', '-c', 'echo "$1" > asked', 'sh', '{input.prompt}'] };
  sluice = await startSluice({
    config: {
      tools: {
        asks,
        nested: { argv: ['true'], stdin: '{input.change.text}' },
        declared: { argv: ['true', '{input.prompt}'], input_keys: ['extra'] },
        reads: { argv: ['sh', '-c', 'cp "$SLUICE_INPUT_FILE" read'] },
        must: { argv: ['sh', '-c', 'mkdir lib; echo x > lib/x'], when_unchanged: 'fail' },
      },
    },
  });
});

const NODE = {
  prepare: [
    {
      name: 'npm',
      command: ['sh', '-c', 'mkdir -p node_modules/x && echo x > node_modules/x/x'],
      key_files: ['package.json'],
      kept_paths: ['node_modules'],
    },
  ],
  gates: [{ name: 'unit', command: ['test', '-f', 'node_modules/x/x'] }],
};
const PYTHON = {
  prepare: [
    {
      name: 'venv',
      command: ['sh', '-c', 'mkdir -p .venv/bin && ln -sf /bin/true .venv/bin/pytest'],
      key_files: ['requirements.txt'],
      kept_paths: ['.venv'],
    },
  ],
  gates: [{ name: 'unit', command: ['.venv/bin/pytest'] }],
};

describe('the policy of the README on ordinary repositories', () => {
  test.each([
    ['Node, node_modules ignored', NODE, { 'package.json': '{}', '.gitignore': 'node_modules\n' }],
    ['Node, node_modules ignored as a folder', NODE, { 'package.json': '{}', '.gitignore': '/node_modules/\n*.log\n' }],
    ['Node, node_modules not ignored', NODE, { 'package.json': '{}' }],
    ['Python, .venv ignored', PYTHON, { 'requirements.txt': '', '.gitignore': '.venv/\n__pycache__\n' }],
    ['Python, .venv not ignored', PYTHON, { 'requirements.txt': '' }],
  ])('%s: the change of a tool lands without the prepared files', async (_what, policy, files) => {
    const git = await GitSandbox.create({ ...files, 'src/a': 'a\n' }, policy);
    const tasks = [shell('fix', 'echo b > src/b; echo more >> src/a; ls -A')];
    const finished = await sluice.finish(specOf(git.remote, tasks));
    expect(finished.patch('fix')).toMatchObject({ state: 'VERIFIED', paths: ['src/a', 'src/b'] });
    expect(await git.read('src/b')).toBe('b');
    await git.remove();
  });
});

test('new files that .gitignore excludes are named in the evidence, whether or not the task has a patch', async () => {
  const git = await GitSandbox.create({ '.gitignore': 'lib/\n' }, { gates: [{ name: 'g', command: ['true'] }] });
  const tasks = [
    shell('nothing', 'mkdir -p src/lib; echo code > src/lib/parser.py'),
    shell('something', 'mkdir -p lib; echo code > lib/x; echo y > y'),
    { name: 'must', tool: 'must', max_retries: 0 },
  ];
  const finished = await sluice.finish(specOf(git.remote, tasks));
  expect(finished.task('nothing')).toMatchObject({
    state: 'COMPLETED',
    evidence: { ignored_files: ['src/lib/parser.py'], ignored_count: 1 },
  });
  expect(finished.task('something')).toMatchObject({ state: 'COMPLETED', evidence: { ignored_files: ['lib'] } });
  expect(finished.task('must')).toMatchObject({
    state: 'FAILED',
    reason: 'tool_changed_nothing',
    evidence: { ignored_files: ['lib'] },
  });
  await git.remove();
});

test('a tool, a patch with a rename, a rollback and the audit work on a SHA-256 repository', async () => {
  const git = await GitSandbox.create({ 'a.txt': 'one\n' }, { gates: [{ name: 'g', command: ['true'] }] }, 'sha256');
  const base = await git.tip();
  const landed = await sluice.finish(specOf(git.remote, [shell('fix', 'echo x > x; git mv a.txt b.txt')]));
  expect(landed.patch('fix')).toMatchObject({
    state: 'VERIFIED',
    landed_commit: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  const diff = `diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n`;
  const patch = { name: 'p', tool: 'patch', input: { format: 'git_patch', content: diff } };
  const conflict = {
    name: 'c',
    tool: 'patch',
    input: { format: 'inline', base, files: [{ path: 'a.txt', content: 'two\n' }] },
    max_retries: 0,
  };
  const more = await sluice.finish(specOf(git.remote, [patch]));
  expect(more.patch('p')).toMatchObject({ state: 'VERIFIED' });
  await sluice.finish(specOf(git.remote, [conflict]));
  const run = await sluice.client.patches.rollback(more.patch('p')!.id, { reason: 'not wanted' });
  await eventually('the rollback', async () => (await sluice.client.runs.get(run.id)).state === 'COMPLETED');
  expect(await git.read('x')).toBe('x');
  expect(await sluice.client.targets.audit(`${git.remote}@main`)).toMatchObject({ proven: true });
  await git.remove();
});

describe('an input that does not fit its tool is refused before anything runs', () => {
  const submit = (tool: string, input: object) =>
    sluice.client.runs.submit(specOf('/nowhere', [{ name: 't', tool, input: input as Record<string, never> }]));

  test.each([
    ['asks', { promt: 'x' }, 'workstreams[0].tasks[0].input.prompt', /needs this key.*did you mean promt/],
    [
      'asks',
      { prompt: 'x', promts: 'y' },
      'workstreams[0].tasks[0].input.promts',
      /does not use this key: did you mean prompt/,
    ],
    ['nested', { change: { txt: 'x' } }, 'workstreams[0].tasks[0].input.change.text', /needs this key/],
    ['declared', { prompt: 'x', extra: 1, other: 2 }, 'workstreams[0].tasks[0].input.other', /does not use/],
  ])('%s with %j', async (tool, input, path, message) => {
    await expect(submit(tool, input)).rejects.toMatchObject({
      code: 'spec.invalid',
      problems: expect.arrayContaining([{ path, message: expect.stringMatching(message) }]),
    });
  });

  test('a tool without placeholders accepts any input, and a declared input key is accepted', async () => {
    await expect(submit('reads', { anything: 1 })).resolves.toMatchObject({ state: 'INITIALIZING' });
    await expect(submit('declared', { prompt: 'x', extra: 1 })).resolves.toMatchObject({ state: 'INITIALIZING' });
  });

  test('schema problems and unresolved references are reported in one response', async () => {
    const spec = {
      ...specOf('/nowhere', [
        { name: 'a', tool: 'assks', depends_on: ['b'] },
        { name: 'c', tool: 'asks', input: {}, max_retries: 1_000 },
      ]),
      prioritty: 1,
      expires_in_seconds: 1e12,
    };
    const problems = await sluice.client.runs
      .submit(spec as never)
      .catch((error) => error.problems.map(({ path }: { path: string }) => path));
    expect(problems.toSorted()).toEqual([
      'expires_in_seconds',
      'prioritty',
      'workstreams[0].tasks[0].depends_on[0]',
      'workstreams[0].tasks[0].tool',
      'workstreams[0].tasks[1].input.prompt',
      'workstreams[0].tasks[1].max_retries',
    ]);
  });
});
