import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../../src/database/database.ts';
import { endGate } from '../../../src/ledger/landing/gates.ts';
import { eventually } from '../../support/eventually.ts';
import { LandingStory, startForStories } from '../../support/landing-story.ts';
import { type RunningSluice, shell, specOf } from '../../support/run-sluice.ts';

let sluice: RunningSluice;
beforeAll(async () => {
  sluice = await startForStories({ workers: [{ taskSlots: 4, gateSlots: 4 }] });
});

const why = async (id: string) => (await sluice.client.explain(id)).sentence;

describe('a remote that refuses a push', () => {
  const refuseIn = async (story: LandingStory, test_: string, words: string): Promise<void> => {
    const hook = join(story.git.remote, 'hooks', 'pre-receive');
    const script = `#!/bin/sh\nwhile read old new ref; do git diff --name-only $old $new | grep -q '${test_}' && { echo '${words}' >&2; exit 1; }; done; exit 0\n`;
    await writeFile(hook, script);
    await chmod(hook, 0o755);
  };

  test('a push refused because of one patch of a batch is bisected: that patch is blocked and the others land', async () => {
    const story = await LandingStory.begin(sluice, { landing: { prove: 'batch', max_batch: 8, slots: 4 } });
    await refuseIn(story, 'p/secret', 'GH013: secret found');
    await story.pause();
    await story.stage(['a', 'b', 'secret', 'c']);
    await eventually('the proof of all', async () => (await story.runs()).includes('a b c secret'));
    await story.resume();
    expect(await story.until('secret', 'BLOCKED')).toMatchObject({
      reason: 'push_refused',
      evidence: { words: expect.stringContaining('GH013: secret found') },
    });
    await story.allUntil(['a', 'b', 'c'], 'VERIFIED');
    expect(await why(story.idOf('secret'))).toContain('push_refused');
    expect((await sluice.client.targets.get(story.targetId)).paused_at).toBeNull();
    await story.end();
  });

  test('a second refused patch with no landing in between pauses the target with the remote’s message', async () => {
    const story = await LandingStory.begin(sluice);
    await refuseIn(story, '.', 'no more today');
    await story.stage(['a']);
    await story.until('a', 'BLOCKED');
    await story.stage(['b']);
    await eventually('the pause', async () => (await sluice.client.targets.get(story.targetId)).paused_at !== null);
    expect(await why(story.targetId)).toMatch(/no more today/);
    expect(await story.patch('b')).toMatchObject({ state: 'STAGED' });
    await rm(join(story.git.remote, 'hooks', 'pre-receive'));
    await sluice.client.patches.requeue(story.idOf('a'), { reason: 'the remote is well again' });
    await story.resume();
    await story.allUntil(['a', 'b'], 'VERIFIED');
    await story.end();
  });
});

describe('a fault that stops a coordinator is shown on its target', () => {
  test('a missing branch is reported until it comes back', async () => {
    const story = await LandingStory.begin(sluice);
    await story.hold();
    await story.stage(['a']);
    await story.started('a');
    await story.git.git(['branch', '-m', 'main', 'elsewhere'], story.git.remote);
    const fault = async () => (await sluice.client.targets.get(story.targetId)).fault;
    await eventually('the fault', async () => (await fault())?.code === 'branch.missing');
    expect(await why(story.idOf('a'))).toMatch(/no branch main/);
    expect(await why(story.targetId)).toMatch(/no branch main/);
    await story.git.git(['branch', '-m', 'elsewhere', 'main'], story.git.remote);
    await story.release();
    await story.until('a', 'VERIFIED');
    await eventually('no fault', async () => (await fault()) === null);
    await story.end();
  });
});

describe('P6: a gate that is lost', () => {
  test('a patch whose gate is lost again and again is BLOCKED with gate_lost, while the others land', async () => {
    const story = await LandingStory.begin(sluice);
    const target = { target_id: story.targetId };
    await story.hold();
    await story.stage(['a', 'poison', 'z']);
    await story.started('a');
    // Ends every running gate of `poison` as lost, as if its worker had died.
    const { gates } = sluice.deps.daos;
    const lose = setInterval(() => {
      void gates.findLive(story.targetId).then(async (live) => {
        for (const { gate_id, patch_ids, state } of live) {
          if (state !== 'RUNNING' || !patch_ids.includes(story.idOf('poison'))) continue;
          const { worker_id, attempt } = await gates.get(gate_id);
          const lost = { outcome: 'lost', exitCode: null, results: { message: 'its worker died' } } as const;
          await sluice.deps.ledger
            .write((tx) => endGate(tx, { gateId: gate_id, workerId: worker_id!, attempt, ...lost }, sluice.deps.seal))
            .catch(() => {});
          sluice.deps.wakeUps.send('landing');
        }
      });
    }, 25);
    try {
      await story.rule('sleep 0.3; exit 0');
      await story.release();
      await story.allUntil(['a', 'z'], 'VERIFIED');
      let n = 0;
      await eventually('the end of the poison', async () => {
        // Other patches keep landing meanwhile.
        n += 1;
        await story.submit(`n${n}`);
        await story.until(`n${n}`, 'VERIFIED');
        return (await story.patch('poison')).state === 'BLOCKED';
      });
      expect(await story.patch('poison')).toMatchObject({
        reason: 'gate_lost',
        evidence: { times: expect.any(Number) },
      });
      expect((await gates.count({ ...target, outcome: 'lost' })) >= 8).toBe(true);
    } finally {
      clearInterval(lose);
    }
    await story.end();
  });
});

test('P6: a patch whose candidate cannot be checked out is blocked as gate_unproven, and the evidence names the file', async () => {
  const story = await LandingStory.begin(sluice);
  const { git } = story;
  await git.git(['fetch', '--quiet']);
  await git.git(['reset', '--quiet', '--hard', 'origin/main']);
  const blob = await git.git(['hash-object', '-w', '.sluice.yaml']);
  await git.git(['update-index', '--add', '--cacheinfo', `100644,${blob},p/${'x'.repeat(300)}`]);
  await git.git(['commit', '--quiet', '-m', 'change']);
  await git.git(['push', '--quiet', 'origin', 'HEAD:main']);
  await story.submit('a');
  const message = expect.stringMatching(/x{255}.*File name too long/s);
  expect(await story.until('a', 'BLOCKED')).toMatchObject({ reason: 'gate_unproven', evidence: { message } });
  await story.end();
});

describe('P3: a change of the policy applies to the patches behind it', () => {
  test('patches behind it wait until it has landed, and are then judged by its new gate', async () => {
    const story = await LandingStory.begin(sluice, { landing: { slots: 4 } });
    const added = { name: 'added', command: ['sh', '-c', 'test ! -e p/bad'] };
    const gates = [{ name: 'scripted', command: story.gateCommand }, added];
    await story.hold();
    await story.submit('policy', { files: { '.sluice.yaml': JSON.stringify({ gates, landing: { slots: 4 } }) } });
    await story.until('policy', 'QUARANTINED');
    await sluice.client.patches.approve(story.idOf('policy'), { reason: 'looked at' });
    await story.until('policy', 'STAGED');
    await story.stage(['bad', 'good']);
    await eventually('the order', async () => (await why(story.idOf('bad'))).includes('changes the policy'));
    await story.release();
    expect(await story.until('bad', 'BLOCKED')).toMatchObject({ evidence: { gate: 'added' } });
    await story.until('good', 'VERIFIED');
    await story.end();
  });

  test('control: the audit finds a landing that skipped a gate of its parent’s policy', async () => {
    const story = await LandingStory.begin(sluice);
    await story.stage(['a']);
    await story.until('a', 'VERIFIED');
    const [intent] = await sluice.deps.daos.intents.findApplied(story.targetId);
    const auditWith = async (forged: object) => {
      const proofs = intent!.proofs.map((proof) => ({ ...proof, ...forged }));
      await sluice.deps.daos.intents.update(intent!.intent_id, { proofs });
      return (await sluice.client.targets.audit(story.targetId)).commits[0]!;
    };
    const skipped = await auditWith({ meaning: 'another' });
    expect(skipped).toMatchObject({ proven: false, problem: expect.stringContaining('asks for gate scripted') });
    // The same with a forged verdict.
    await sluice.deps.database.query(
      sql`
        insert into gate_verdicts (tree_id, digest, passed, gate_id, gate_name)
        select tree_id, 'another', passed, gate_id, gate_name from gate_verdicts where tree_id = ${intent!.tree_id}`,
    );
    const forged = await auditWith({ digest: 'another' });
    expect(forged).toMatchObject({ proven: false, problem: expect.stringContaining('without an execution behind it') });
    await sluice.deps.daos.intents.update(intent!.intent_id, { proofs: intent!.proofs });
    await story.end();
  });
});

describe('failures that a retry of the tool cannot fix', () => {
  test('a task whose patch has no gate FAILS after one attempt, and its patch has the reason', async () => {
    const story = await LandingStory.begin(sluice, { policy: { gates: [] } });
    const run = await sluice.finish(specOf(story.git.remote, [shell('t', 'echo x > x', { max_retries: 3 })]));
    expect(run.task('t')).toMatchObject({ state: 'FAILED', attempt: 1 });
    expect(run.patch('t')).toMatchObject({ reason: 'no_gate' });
    await story.end();
  });

  test('a tool whose patch needs an approval runs once: its task waits, and what depends on it goes on after the approval', async () => {
    const story = await LandingStory.begin(sluice, { policy: { protected: ['ci/**'] } });
    const { id } = await sluice.client.runs.submit(
      specOf(story.git.remote, [
        shell('needs', 'mkdir -p ci; echo x > ci/x', { max_retries: 3 }),
        shell('after', 'cat ci/x > y', { depends_on: ['needs'] }),
        shell('dropped', 'mkdir -p ci; echo x > ci/z', { max_retries: 3 }),
      ]),
    );
    const waiting = await eventually('two patches that wait', async () => {
      const { items } = await sluice.client.patches.list({ run: id, state: 'QUARANTINED' });
      return items.length === 2 && items;
    });
    expect(waiting.map(({ awaits_approval }) => awaits_approval)).toEqual([true, true]);
    const parts = async () => await sluice.client.runs.get(id, { expand: ['tasks'] });
    const task = async (name: string) => (await parts()).tasks!.find((each) => each.name === name)!;
    expect(await task('needs')).toMatchObject({ state: 'VALIDATING', attempt: 1, retry_count: 0 });
    expect(await task('after')).toMatchObject({ state: 'BLOCKED' });
    expect(await sluice.client.explain(id)).toMatchObject({ state: 'RUNNING', code: 'approval' });
    const patchOf = async (name: string) => {
      const { id: taskId } = await task(name);
      return waiting.find(({ task_id }) => task_id === taskId)!.id;
    };
    await sluice.client.patches.drop(await patchOf('dropped'), { reason: 'not wanted' });
    await sluice.client.patches.approve(await patchOf('needs'), { reason: 'looked at it' });
    expect(await sluice.client.runs.wait(id)).toMatchObject({ state: 'FAILED' });
    expect((await parts()).tasks!.map(({ name, state, attempt }) => [name, state, attempt])).toEqual([
      ['needs', 'COMPLETED', 1],
      ['after', 'COMPLETED', 1],
      ['dropped', 'FAILED', 1],
    ]);
    expect(await story.git.read('y')).toBe('x');
    await story.end();
  });

  test('an approval that does not come in time expires the patch and fails its task', async () => {
    const story = await LandingStory.begin(sluice, { policy: { protected: ['ci/**'] } });
    const spec = specOf(story.git.remote, [shell('t', 'mkdir -p ci; echo x > ci/x')]);
    const run = await sluice.finish({ ...spec, expires_in_seconds: 2 });
    expect(run.task('t')).toMatchObject({ state: 'FAILED', reason: 'patch_expired' });
    expect(run.patch('t')).toMatchObject({ state: 'EXPIRED', reason: 'too_old', awaits_approval: false });
    await story.end();
  });

  test('files that cannot be captured or checked out quarantine their own patch only, and other patches land', async () => {
    const story = await LandingStory.begin(sluice);
    const tasks = [
      shell('nested', 'git init -q deep/inner', { max_retries: 2 }),
      shell(
        'long',
        `git update-index --add --cacheinfo 100644,$(git hash-object -w p/.keep),x; printf x > "$(printf 'y%.0s' $(seq 250))"`,
      ),
      shell('fine', 'echo x > fine'),
    ];
    const run = await sluice.finish(specOf(story.git.remote, tasks));
    expect(run.task('nested')).toMatchObject({ state: 'FAILED', attempt: 1 });
    expect(run.patch('nested')).toMatchObject({
      state: 'QUARANTINED',
      reason: 'embedded_repository',
      evidence: { path: 'deep/inner' },
    });
    expect(run.patch('fine')).toMatchObject({ state: 'VERIFIED' });
    await story.submit('uncheckable', { files: { [`p/${'x'.repeat(300)}`]: 'x' } });
    expect(await story.until('uncheckable', 'QUARANTINED')).toMatchObject({ reason: 'cannot_be_checked_out' });
    await story.stage(['neighbour']);
    await story.until('neighbour', 'VERIFIED');
    await story.end();
  });

  test('a branch with a submodule is refused at the start of the run', async () => {
    const story = await LandingStory.begin(sluice);
    await story.git.git(['fetch', '--quiet']);
    await story.git.git(['reset', '--quiet', '--hard', 'origin/main']);
    await story.git.git(['update-index', '--add', '--cacheinfo', `160000,${await story.git.tip()},lib/sub`]);
    await story.git.git(['commit', '--quiet', '-m', 'sub']);
    await story.git.git(['push', '--quiet', 'origin', 'HEAD:main']);
    const { run } = await sluice.finish(specOf(story.git.remote, [shell('t', 'echo x > x')]));
    expect(run).toMatchObject({ state: 'FAILED', reason: 'feature.unsupported', evidence: { path: 'lib/sub' } });
    await story.end();
  });
});

test('an operator’s requeue reads the branch again, so that a fix pushed a moment ago counts', async () => {
  const story = await LandingStory.begin(sluice, { files: { shared: 'one\n' } });
  const edit = { format: 'inline', base: await story.git.tip(), files: [{ path: 'shared', content: 'two\n' }] };
  await story.git.push({ shared: 'other\n' });
  await story.submit('a', { input: edit });
  await story.until('a', 'BLOCKED');
  await story.hold();
  await story.stage(['b']);
  await story.git.push({ shared: 'one\n' });
  await sluice.client.patches.requeue(story.idOf('a'), { reason: 'the base is mended' });
  await story.release();
  await story.allUntil(['a', 'b'], 'VERIFIED');
  await story.end();
});

test('a target can be paused before its first patch', async () => {
  const story = await LandingStory.begin(sluice);
  await sluice.client.targets.pause(story.targetId, { reason: 'not yet' });
  await story.stage(['a']);
  await eventually('the proof', async () => (await why(story.idOf('a'))).includes('paused'));
  await story.resume();
  await story.until('a', 'VERIFIED');
  await expect(sluice.client.targets.pause('nothing', { reason: 'x' })).rejects.toMatchObject({
    code: 'entity.not_found',
  });
  await story.end();
});

test('a superseded patch names the patch that replaced it', async () => {
  const story = await LandingStory.begin(sluice, { rule: '[ ! -e p/bad ]' });
  const run = await sluice.finish(
    specOf(story.git.remote, [
      shell('t', 'if [ -n "$SLUICE_EVIDENCE_FILE" ]; then echo x > p/good; else echo x > p/bad; fi', {
        max_retries: 1,
      }),
    ]),
  );
  const patches = run.run.patches!;
  const landed = patches.find(({ state }) => state === 'VERIFIED')!;
  expect(patches.find(({ state }) => state === 'SUPERSEDED')).toMatchObject({
    reason: 'newer_attempt',
    evidence: { superseded_by: landed.id },
  });
  await story.end();
});
