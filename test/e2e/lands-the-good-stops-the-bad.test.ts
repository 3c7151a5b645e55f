import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, shell, specOf, startSluice } from '../support/run-sluice.ts';

/** The tree is red when any .txt file holds the word BROKEN. */
const POLICY = { gates: [{ name: 'sound', command: ['sh', '-c', '! grep -rq BROKEN --include=*.txt .'] }] };

let git: GitSandbox;
let sluice: RunningSluice;
beforeAll(async () => {
  git = await GitSandbox.create({ 'a.txt': 'one\ntwo\nthree\n', 'b.txt': 'b\n' }, POLICY);
  sluice = await startSluice();
});
afterAll(async () => {
  await sluice.stop();
  await git.remove();
});

describe('a run of real tools', () => {
  test('P3: a green change lands as the tree that was tested, and a red one does not land', async () => {
    const { run, task, patch } = await sluice.finish(
      specOf(git.remote, [shell('good', 'echo more >> b.txt'), shell('bad', 'echo BROKEN > new.txt')]),
    );
    expect(run.state).toBe('FAILED');
    expect(task('good').state).toBe('COMPLETED');
    expect(patch('good')).toMatchObject({ state: 'VERIFIED', landed_commit: await git.tip() });
    expect(await git.read('b.txt')).toBe('b\nmore');
    expect(patch('bad')).toMatchObject({ state: 'BLOCKED', reason: 'gate_red', landed_commit: null });
    await expect(git.read('new.txt')).rejects.toThrow();
    const landedTree = await git.git(['rev-parse', 'main^{tree}'], git.remote);
    expect(run.gates?.find(({ state, tree_id }) => state === 'PASSED' && tree_id === landedTree)).toBeDefined();
  });

  test('P7: a change of the policy is quarantined', async () => {
    const { id } = await sluice.client.runs.submit(
      specOf(git.remote, [shell('judge', 'printf "gates: [{name: x, command: [\\"true\\"]}]" > .sluice.yaml')]),
    );
    const judge = await eventually('the patch', async () => {
      return (await sluice.client.patches.list({ run: id, state: 'QUARANTINED' })).items[0];
    });
    expect(judge).toMatchObject({ reason: 'protected_path', awaits_approval: true });
    // A wait for an approval, which ends with the run.
    expect(await sluice.client.runs.cancel(id)).toMatchObject({ outcome: 'cancelled' });
  });

  test('a dependant starts on the commit that its dependency landed as', async () => {
    const { run, task } = await sluice.finish(
      specOf(git.remote, [
        shell('first', 'echo first > first.txt'),
        shell('second', 'cat first.txt > second.txt', { depends_on: ['first'] }),
      ]),
    );
    expect(run.state).toBe('COMPLETED');
    expect(task('second').base_commit).toBe(task('first').landed_commit);
    expect(await git.read('second.txt')).toBe('first');
  });

  test('tasks that depend on a failed task are cancelled, transitively', async () => {
    const { run, task } = await sluice.finish(
      specOf(git.remote, [
        shell('red', 'echo BROKEN > red.txt'),
        shell('child', 'true', { depends_on: ['red'] }),
        shell('grandchild', 'true', { depends_on: ['child'] }),
      ]),
    );
    expect(run.state).toBe('FAILED');
    for (const name of ['child', 'grandchild']) {
      expect(task(name)).toMatchObject({ state: 'CANCELLED', reason: 'dependency_failed' });
    }
  });

  test('a patch that conflicts with the branch is blocked, with files and hunks as evidence', async () => {
    const base = await git.tip();
    const content = await git.diffOf({ 'a.txt': 'one\nTWO by patch\nthree\n' });
    await git.push({ 'a.txt': 'one\nTWO by hand\nthree\n' });
    const input = { format: 'git_patch' as const, base, content };
    const { patch } = await sluice.finish(specOf(git.remote, [{ name: 'late', tool: 'patch', input }]));
    expect(patch('late')).toMatchObject({ state: 'BLOCKED', reason: 'conflict', evidence: { files: ['a.txt'] } });
    expect(JSON.stringify(patch('late')?.evidence)).toContain('TWO by hand');
  });

  test('an agent is retried with the evidence of its red gate, and its new patch lands', async () => {
    const script = `
      if [ -f "$SLUICE_EVIDENCE_FILE" ]; then cp "$SLUICE_EVIDENCE_FILE" evidence.json; else echo BROKEN > mended.txt; fi`;
    const { run, task } = await sluice.finish(specOf(git.remote, [shell('agent', script, { max_retries: 1 })]));
    expect(run.state).toBe('COMPLETED');
    expect(task('agent')).toMatchObject({ state: 'COMPLETED', attempt: 2, retry_count: 1 });
    expect(JSON.parse(await git.read('evidence.json'))).toMatchObject({ reason: 'gate_red', gate: 'sound' });
    expect(run.patches?.map(({ state }) => state)).toEqual(['SUPERSEDED', 'VERIFIED']);
  });

  test('a task whose tool changes nothing completes without a patch; a patch that is on the branch already is SUPERSEDED', async () => {
    const already = await git.diffOf({ 'b.txt': 'changed\n' });
    const base = await git.tip();
    await git.push({ 'b.txt': 'changed\n' });
    const { run, patch } = await sluice.finish(
      specOf(git.remote, [
        shell('idle', 'true'),
        { name: 'there', tool: 'patch', input: { format: 'git_patch', base, content: already } },
      ]),
    );
    expect(run.state).toBe('COMPLETED');
    expect(patch('idle')).toBeUndefined();
    expect(patch('there')).toMatchObject({ state: 'SUPERSEDED', reason: 'already_on_branch' });
  });

  test('P6: a gate that cannot start, is killed or changes its tree blocks the patch', async () => {
    for (const [command, reason] of [
      [['no-such-program'], 'gate_unproven'],
      [['sh', '-c', 'exit 127'], 'gate_unproven'],
      [['sh', '-c', 'test -e x.txt || exit 0; kill -KILL $$'], 'gate_red'],
      [['sh', '-c', 'echo tampered > README.md'], 'gate_tainted'],
    ] as const) {
      const own = await GitSandbox.create({}, { gates: [{ name: 'odd', command }] });
      const { patch } = await sluice.finish(specOf(own.remote, [shell('any', 'echo x > x.txt')]));
      expect(patch('any')).toMatchObject({ state: 'BLOCKED', reason });
      await own.remove();
    }
  });

  test('P6: a patch for which no gate is in force is blocked', async () => {
    const own = await GitSandbox.create({}, { gates: [{ name: 'docs', command: ['true'], paths: ['docs/**'] }] });
    const { patch } = await sluice.finish(specOf(own.remote, [shell('any', 'echo x > x.txt')]));
    expect(patch('any')).toMatchObject({ state: 'BLOCKED', reason: 'no_gate' });
    await own.remove();
  });

  test('a change of pinned files must also pass with the branch’s own files', async () => {
    const own = await GitSandbox.create(
      { 'code.txt': 'good\n', 'tests/run.sh': 'grep -q good code.txt\n' },
      { gates: [{ name: 'tests', command: ['sh', 'tests/run.sh'] }], pinned: ['tests/**'] },
    );
    const { patch } = await sluice.finish(
      specOf(own.remote, [shell('cheat', 'echo bad > code.txt; echo true > tests/run.sh')]),
    );
    expect(patch('cheat')).toMatchObject({ state: 'BLOCKED', reason: 'gate_red', evidence: { pinned: true } });
    await own.remove();
  });

  test('P4: when another committer pushes while a gate runs, the patch is tested again on the new tip', async () => {
    const own = await GitSandbox.create({}, { gates: [{ name: 'slow', command: ['sh', '-c', 'sleep 1.5'] }] });
    const submitted = await sluice.client.runs.submit(specOf(own.remote, [shell('ours', 'echo ours > ours.txt')]));
    const { deps } = sluice;
    await expect
      .poll(async () => (await deps.daos.gates.findByRun(submitted.id))[0]?.state, { timeout: 10_000 })
      .toBe('RUNNING');
    const theirs = await own.push({ 'theirs.txt': 'theirs\n' }, 'theirs');
    await expect
      .poll(async () => (await sluice.client.runs.get(submitted.id)).state, { timeout: 20_000 })
      .toBe('COMPLETED');
    expect(await own.subjects()).toEqual(['change', 'theirs', 'test: ours']);
    expect(await own.git(['rev-parse', 'main^'], own.remote)).toBe(theirs);
    const landedTree = await own.git(['rev-parse', 'main^{tree}'], own.remote);
    const gates = await deps.daos.gates.findByRun(submitted.id);
    expect(gates.filter(({ state, tree_id }) => state === 'PASSED' && tree_id === landedTree)).toHaveLength(1);
    await own.remove();
  });
});
