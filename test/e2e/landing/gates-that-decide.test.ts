import { beforeAll, describe, expect, test } from 'vitest';
import { processesWithVariable } from '../../../src/lib/process-identity.ts';
import { eventually } from '../../support/eventually.ts';
import { LandingStory, startForStories } from '../../support/landing-story.ts';
import { type RunningSluice, shell, specOf } from '../../support/run-sluice.ts';

let sluice: RunningSluice;
beforeAll(async () => {
  sluice = await startForStories({ workers: [{ taskSlots: 4, gateSlots: 4 }] });
});

describe('P6: a patch without a valid proof is BLOCKED', () => {
  test.each([
    ['no gate at all', [], 'no_gate'],
    ['a gate whose command does not exist', [{ name: 'g', command: ['no-such-program'] }], 'gate_unproven'],
    ['a gate that exits with 127', [{ name: 'g', command: ['sh', '-c', 'exit 127'] }], 'gate_unproven'],
    ['a gate that exits with 126', [{ name: 'g', command: ['sh', '-c', 'exit 126'] }], 'gate_unproven'],
    ['advisory gates alone', [{ name: 'g', command: ['true'], advisory: true }], 'no_gate'],
    ['a gate that changes its tree', [{ name: 'g', command: ['sh', '-c', 'echo x >> p/a'] }], 'gate_tainted'],
  ])('%s', async (_title, gates, reason) => {
    const story = await LandingStory.begin(sluice, { policy: { gates } });
    await story.stage(['a']);
    expect(await story.until('a', 'BLOCKED')).toMatchObject({ reason });
    await story.end();
  });

  test('a gate that hangs is ended and retried, then its patch is BLOCKED with gate_timeout and the others land', async () => {
    const rule = '[ -e p/hangs ] && while true; do sleep 0.1; done; exit 0';
    const story = await LandingStory.begin(sluice, { rule });
    const gates = [{ name: 'scripted', command: story.gateCommand, timeout_seconds: 1 }];
    await story.git.push({ '.sluice.yaml': JSON.stringify({ gates }) });
    await story.stage(['a', 'hangs', 'z']);
    await story.allUntil(['a', 'z'], 'VERIFIED');
    expect(await story.until('hangs', 'BLOCKED')).toMatchObject({
      reason: 'gate_timeout',
      evidence: { times: expect.any(Number) },
    });
    await story.end();
  });
});

describe('flakes', () => {
  /** Red once for each line in `red-<name>` of the last patch of the tree, then green. */
  const RED_FOR_A_WHILE = `last=$\{names##* }; [ -s "$control/red-$last" ] && sed -i 1d "$control/red-$last" && exit 1; exit 0`;
  const landsAfter = async (story: LandingStory, name: string, { reds }: { reds: number }): Promise<number> => {
    await story.tell(`red-${name}`, 'red\n'.repeat(reds));
    await story.stage([name]);
    await story.until(name, 'VERIFIED');
    return (await story.runs()).filter((names) => names.split(' ').at(-1) === name).length;
  };

  test('a gate without a recorded flake needs more greens than reds, one with a record fewer; no patch is blocked, and verdicts are marked flaky', async () => {
    const story = await LandingStory.begin(sluice, { rule: RED_FOR_A_WHILE });
    expect(await landsAfter(story, 'a', { reds: 1 })).toBe(3);
    const { landed_commit } = await story.patch('a');
    const tree = await story.git.git(['rev-parse', `${landed_commit}^{tree}`], story.git.remote);
    const verdicts = await sluice.deps.daos.verdicts.findByTrees([tree]);
    expect(verdicts.filter(({ passed, flaky }) => passed && flaky)).toHaveLength(2);
    expect(await landsAfter(story, 'b', { reds: 1 })).toBe(2);
    expect(await landsAfter(story, 'c', { reds: 3 })).toBe(7);
    await story.end();
  });

  test('if the policy allows no flakes, a tree that was red needs more greens than reds', async () => {
    const story = await LandingStory.begin(sluice, { rule: RED_FOR_A_WHILE, policy: { flakes: { allow: false } } });
    expect(await landsAfter(story, 'a', { reds: 1 })).toBe(3);
    expect(await landsAfter(story, 'b', { reds: 1 })).toBe(3);
    await story.end();
  });

  test('a gate that is red every fifth time blocks none of a hundred good patches', {
    timeout: 300_000,
  }, async () => {
    // Every fifth run is red by a counter: random flakes may block a good patch now and then, within the accepted rate.
    const rule = `n=0; until mkdir "$control/turn-$n" 2>/dev/null; do n=$((n + 1)); done; [ $((n % 5)) -eq 4 ] && exit 1; exit 0`;
    const story = await LandingStory.begin(sluice, { rule, landing: { prove: 'batch', max_batch: 20, slots: 4 } });
    const names = Array.from({ length: 100 }, (_, n) => `n${n}`);
    await Promise.all(names.map((name) => story.submit(name)));
    const { patches } = sluice.deps.daos;
    const ended = { target_id: story.targetId, state: { $in: ['VERIFIED', 'BLOCKED', 'EXPIRED'] as never } };
    await eventually('the end of all', async () => (await patches.count(ended)) === names.length);
    const states = await Promise.all(names.map(async (name) => (await story.patch(name)).state));
    expect(states.filter((state) => state !== 'VERIFIED')).toEqual([]);
    await story.end();
  });
});

test('while the tip is red no patch is blocked and the target reports it; the patch that fixes the tip lands first, then the others', async () => {
  const story = await LandingStory.begin(sluice, { rule: '[ -e p/fix ]' });
  await story.stage(['a', 'b']);
  await eventually(
    'the red tip',
    async () => (await sluice.client.targets.get(story.targetId)).red_tip?.outcome === 'red',
  );
  await story.stage(['fix']);
  await story.allUntil(['fix', 'a', 'b'], 'VERIFIED');
  expect((await story.landed())[0]).toBe('fix');
  await eventually('the green tip', async () => (await sluice.client.targets.get(story.targetId)).red_tip === null);
  await story.end();
});

test('an extra gate of a run blocks the run’s patch, although it does not pass on the tip either', async () => {
  const story = await LandingStory.begin(sluice);
  const { run, patch } = await sluice.finish(
    specOf(story.git.remote, [shell('t', 'echo t > p/t')], {
      extra_gates: [{ name: 'own', command: ['sh', '-c', 'test -e p/never'] }],
    }),
  );
  expect(run.state).toBe('FAILED');
  expect(patch('t')).toMatchObject({ state: 'BLOCKED', reason: 'gate_red', evidence: { gate: 'own' } });
  await story.end();
});

describe('P3: verdicts are reused by tree', () => {
  test('a patch moved ahead of another causes gate runs only on trees without a verdict', async () => {
    const story = await LandingStory.begin(sluice);
    await story.pause();
    await story.stage(['a', 'b']);
    await story.started('a b');
    await sluice.client.patches.prioritize(story.idOf('b'), { priority: 10, reason: 'b first' });
    await story.started('b');
    await eventually('both proven', async () => {
      const { queue } = await sluice.client.targets.get(story.targetId);
      return queue!.every(({ place }) => place === 'proven') && queue![0]!.patch_id === story.idOf('b');
    });
    await story.resume();
    await story.allUntil(['a', 'b'], 'VERIFIED');
    expect(await story.landed()).toEqual(['b', 'a']);
    expect((await story.runs()).toSorted()).toEqual(['a', 'a b', 'b']);
    await story.end();
  });

  test('a restart of every role repeats no gate run', async () => {
    const first = await startForStories({ workers: [{ gateSlots: 2 }] });
    const story = await LandingStory.begin(first);
    await story.pause();
    await story.stage(['a', 'b']);
    await eventually('both proven', async () =>
      (await first.client.targets.get(story.targetId)).queue!.every(({ place }) => place === 'proven'),
    );
    const databaseUrl = first.deps.database.url;
    await first.stop();
    const second = await startForStories({ databaseUrl, workers: [{ gateSlots: 2 }] });
    await second.client.targets.resume(story.targetId, { reason: 'started again' });
    await eventually('the landing', async () => (await story.landed()).length === 2);
    expect(await story.runs()).toEqual(['a', 'a b']);
    await second.stop();
    await story.git.remove();
  });

  test('a requeued patch lands after one gate run once its gate is green, and its run completes', async () => {
    const story = await LandingStory.begin(sluice, { rule: '[ -e "$control/mended" ] || [ -z "$names" ]' });
    await story.stage(['a']);
    await story.until('a', 'BLOCKED');
    await story.tell('mended');
    await story.forgetRuns();
    await sluice.client.patches.requeue(story.idOf('a'), { reason: 'the gate was at fault' });
    await story.until('a', 'VERIFIED');
    expect(await story.runs()).toEqual(['a']);
    await eventually('the run', async () => (await sluice.client.runs.get(story.runOf('a'))).state === 'COMPLETED');
    await story.end();
  });
});

describe('P7: a patch or its gate cannot weaken what judges it', () => {
  test('a patch of a protected path is quarantined until an operator approves it, and the approval is recorded', async () => {
    const story = await LandingStory.begin(sluice, { policy: { protected: ['ci/**'] } });
    await story.submit('a', { files: { 'p/a': 'a\n', 'ci/run': 'x\n' } });
    expect(await story.until('a', 'QUARANTINED')).toMatchObject({ reason: 'protected_path', awaits_approval: true });
    const waiting = await sluice.client.explain(story.runOf('a'));
    expect(waiting).toMatchObject({
      state: 'RUNNING',
      code: 'approval',
      again_when: 'when an operator approves or drops it',
    });
    await sluice.client.patches.approve(story.idOf('a'), { reason: 'looked at it' });
    await story.until('a', 'VERIFIED');
    const notes = await sluice.deps.daos.transitions.findByEntity(story.idOf('a'));
    expect(notes.map(({ reason }) => reason)).toContain('approved');
    await eventually('the run', async () => (await sluice.client.runs.get(story.runOf('a'))).state === 'COMPLETED');
    await story.end();
  });

  test('an operator cannot approve a patch that leaves its scope', async () => {
    const story = await LandingStory.begin(sluice);
    const task = { name: 't', tool: 'patch', scope: ['src/**'] };
    const input = { format: 'inline', files: [{ path: 'p/a', content: 'a\n' }] };
    const { run, patch } = await sluice.finish(specOf(story.git.remote, [{ ...task, input }]));
    expect(run.state).toBe('FAILED');
    await expect(sluice.client.patches.approve(patch('t')!.id, { reason: 'please' })).rejects.toMatchObject({
      code: 'state.changed',
    });
    await story.end();
  });

  test('a change of a pinned path must also pass with the branch’s own files, unless an operator approves it', async () => {
    const story = await LandingStory.begin(sluice, {
      files: { 'p/.keep': 'strict\n' },
      rule: '! grep -q strict p/.keep || [ ! -e p/cheat ]',
      policy: { pinned: ['p/.keep'] },
    });
    await story.submit('cheat', { files: { 'p/cheat': 'x\n', 'p/.keep': 'lax\n' } });
    expect(await story.until('cheat', 'BLOCKED')).toMatchObject({ reason: 'gate_red', evidence: { pinned: true } });
    await sluice.client.patches.approve(story.idOf('cheat'), { reason: 'the new rule is right' });
    await story.until('cheat', 'VERIFIED');
    await story.end();
  });

  test('git settings, hooks and refs that a tool or a gate changes do not affect landing', async () => {
    const story = await LandingStory.begin(sluice, { policy: {} });
    const mischief = [
      'git config core.fsmonitor "touch /tmp/sluice-owned; false"',
      'git config core.hooksPath hooks',
      'git config filter.evil.clean "echo evil"',
      'mkdir -p .git/hooks && printf "#!/bin/sh\\nexit 1\\n" > .git/hooks/pre-push && chmod +x .git/hooks/pre-push',
      'git branch -f main HEAD',
      'git update-ref refs/heads/main HEAD || true',
      'git push origin HEAD:main --force || true',
      'git gc --prune=now -q || true',
    ].join('; ');
    const before = await story.git.tip();
    const gates = [{ name: 'g', command: ['sh', '-c', `(${mischief}) >/dev/null 2>&1; exit 0`] }];
    await story.git.push({ '.sluice.yaml': JSON.stringify({ gates }) });
    const { run } = await sluice.finish(
      specOf(story.git.remote, [
        shell('tool', `(${mischief}) >/dev/null 2>&1; echo t > p/t`),
        shell('other', 'echo o > p/o'),
      ]),
    );
    expect(run.state).toBe('COMPLETED');
    const landed = await story.git.git(['diff', '--name-only', before, 'main'], story.git.remote);
    expect(landed.split('\n').toSorted()).toEqual(['.sluice.yaml', 'p/o', 'p/t']);
    await story.end();
  });
});

test('a run cancelled while its gate runs leaves no gate process and an EXPIRED patch, and the next patch lands', async () => {
  const story = await LandingStory.begin(sluice);
  await story.hold();
  await story.stage(['a', 'b']);
  await story.started('a b');
  const { task_id } = await story.patch('a');
  await sluice.client.runs.cancel(story.runOf('a'), { reason: 'changed my mind' });
  await eventually(
    'the end of its gate',
    async () => (await processesWithVariable(`SLUICE_TASK_ID=${task_id}`)).length === 0,
  );
  await story.started('b');
  await story.release();
  await story.until('b', 'VERIFIED');
  expect(await story.until('a', 'EXPIRED')).toMatchObject({ reason: 'cancelled' });
  await story.end();
});
