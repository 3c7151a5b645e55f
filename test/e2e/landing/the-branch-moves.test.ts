import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { NO_TOLERANCE } from '../../../src/domain/landing/flake-tolerance.ts';
import { openIntent } from '../../../src/ledger/landing/intents.ts';
import { acquireLease } from '../../../src/ledger/leases.ts';
import { startAll } from '../../../src/lib/component.ts';
import { createSchedulerRole } from '../../../src/scheduler/scheduler-role.ts';
import { eventually } from '../../support/eventually.ts';
import { LandingStory, startForStories } from '../../support/landing-story.ts';
import type { RunningSluice } from '../../support/run-sluice.ts';

let sluice: RunningSluice;
beforeAll(async () => {
  sluice = await startForStories({ workers: [{ taskSlots: 4, gateSlots: 4 }] });
});

describe('P4: another committer moves the branch', () => {
  test('a patch that was proven before is tested again on the new tip', async () => {
    const story = await LandingStory.begin(sluice);
    await story.pause();
    await story.stage(['a']);
    await story.started('a');
    const theirs = await story.git.push({ 'p/theirs': 'x\n' }, 'theirs');
    await story.resume();
    await story.until('a', 'VERIFIED');
    expect(await story.landed()).toEqual(['theirs', 'a']);
    expect(await story.git.git(['rev-parse', 'main^'], story.git.remote)).toBe(theirs);
    expect(await story.runs()).toEqual(['a', 'a theirs']);
    await story.end();
  });

  test('after a force-push removed its base a patch lands without the removed content, and one that needs it is blocked', async () => {
    const story = await LandingStory.begin(sluice);
    const leaked = await story.git.push({ 'p/leaked': 'key\n' }, 'leaked');
    const content = await story.git.diffOf({ 'p/a': 'a\n' });
    const needs = await story.git.diffOf({ 'p/leaked': 'key 2\n' });
    await story.pause();
    await story.submit('a', { input: { format: 'git_patch', base: leaked, content } });
    await story.submit('needs', { input: { format: 'git_patch', base: leaked, content: needs } });
    await story.allUntil(['a', 'needs'], 'STAGED');
    await story.git.git(['reset', '--quiet', '--hard', 'HEAD^']);
    await story.git.git(['commit', '--quiet', '--allow-empty', '--message', 'cleaned']);
    await story.git.git(['push', '--quiet', '--force', 'origin', 'HEAD:main']);
    await story.resume();
    await story.until('a', 'VERIFIED');
    expect(await story.until('needs', 'BLOCKED')).toMatchObject({ reason: 'base_gone' });
    const files = await story.git.git(['ls-tree', '-r', '--name-only', 'main'], story.git.remote);
    expect(files).not.toContain('leaked');
    await story.end();
  });

  test('a patch whose change is on the branch already is SUPERSEDED, and its run completes', async () => {
    const story = await LandingStory.begin(sluice);
    await story.pause();
    await story.stage(['a']);
    await story.git.push({ 'p/a': 'a\n' }, 'the same');
    expect(await story.until('a', 'SUPERSEDED')).toMatchObject({ reason: 'already_on_branch' });
    await eventually('the run', async () => (await sluice.client.runs.get(story.runOf('a'))).state === 'COMPLETED');
    await story.resume();
    await story.end();
  });

  test('of two patches with the same change one lands and the other is SUPERSEDED', async () => {
    const story = await LandingStory.begin(sluice);
    await story.hold();
    await story.submit('a', { files: { 'p/same': 'x\n' } });
    await story.until('a', 'STAGED');
    await story.submit('b', { files: { 'p/same': 'x\n' } });
    await story.until('b', 'STAGED');
    await story.release();
    await story.until('a', 'VERIFIED');
    await story.until('b', 'SUPERSEDED');
    expect(await story.runs()).toEqual(['same']);
    await story.end();
  });

  test('a push that the remote refuses pauses the target with the remote’s message; after a resume both patches land without a new gate run', async () => {
    const story = await LandingStory.begin(sluice);
    const hook = join(story.git.remote, 'hooks', 'pre-receive');
    await writeFile(hook, '#!/bin/sh\necho "main is frozen" >&2\nexit 1\n');
    await chmod(hook, 0o755);
    await story.stage(['a', 'b']);
    await eventually('the pause', async () =>
      (await sluice.client.targets.get(story.targetId)).pause_reason?.includes('main is frozen'),
    );
    await story.started('a b');
    await rm(hook);
    const before = (await story.runs()).length;
    await story.resume();
    await story.allUntil(['a', 'b'], 'VERIFIED');
    expect(await story.runs()).toHaveLength(before);
    await story.end();
  });
});

/** The intent that a coordinator opens before it pushes the patch `a`. */
async function intentFor(story: LandingStory, { tree, digest }: { tree: string; digest: string }) {
  const commit = 'f'.repeat(40);
  return {
    targetId: story.targetId,
    oldTip: await story.git.tip(),
    newCommit: commit,
    treeId: tree,
    prove: 'every_commit' as const,
    patches: [{ patch_id: story.idOf('a'), commit, tree }],
    proofs: [{ tree, digest, gate: 'scripted', tolerance: NO_TOLERANCE }],
  };
}

describe('orders of an operator', () => {
  test('a paused target keeps testing and lands nothing', async () => {
    const story = await LandingStory.begin(sluice);
    await story.pause();
    await story.stage(['a', 'b']);
    await story.started('a b');
    expect(await story.landed()).toEqual([]);
    await story.resume();
    await story.allUntil(['a', 'b'], 'VERIFIED');
    await story.end();
  });

  test('a dropped patch is EXPIRED, its run FAILS, and the patch behind it lands', async () => {
    const story = await LandingStory.begin(sluice);
    await story.hold();
    await story.stage(['a', 'b']);
    await story.started('a b');
    await sluice.client.patches.drop(story.idOf('a'), { reason: 'not wanted any more' });
    await story.release();
    await story.until('b', 'VERIFIED');
    expect(await story.patch('a')).toMatchObject({ state: 'EXPIRED', reason: 'dropped' });
    await eventually('the run', async () => (await sluice.client.runs.get(story.runOf('a'))).state === 'FAILED');
    await story.end();
  });

  test('a requeued patch reopens its failed run, which completes', async () => {
    const story = await LandingStory.begin(sluice, { rule: '[ -e "$control/mended" ] || [ ! -e p/a ]' });
    await story.stage(['a']);
    await story.until('a', 'BLOCKED');
    await eventually('the failed run', async () => (await sluice.client.runs.get(story.runOf('a'))).state === 'FAILED');
    await story.tell('mended');
    await sluice.client.patches.requeue(story.idOf('a'), { reason: 'the rule was wrong' });
    await story.until('a', 'VERIFIED');
    const run = await eventually('the run', async () => {
      const found = await sluice.client.runs.get(story.runOf('a'));
      return found.state === 'COMPLETED' ? found : undefined;
    });
    expect(run).toMatchObject({ outcome: 'succeeded', progress_percentage: 100, tasks_ended: 1 });
    await expect(sluice.client.patches.requeue(story.idOf('a'), { reason: 'again' })).rejects.toMatchObject({
      code: 'state.changed',
    });
    await story.end();
  });

  test('a rollback lands through the same gates and makes the original ROLLED_BACK; a second one is refused', async () => {
    const story = await LandingStory.begin(sluice);
    await story.stage(['a', 'b']);
    await story.allUntil(['a', 'b'], 'VERIFIED');
    await story.hold();
    await story.stage(['c']);
    const revert = await sluice.client.patches.rollback(story.idOf('a'), { reason: 'it was wrong' });
    await expect(sluice.client.patches.rollback(story.idOf('a'), { reason: 'twice' })).rejects.toMatchObject({
      code: 'state.changed',
    });
    await story.release();
    await eventually('the revert', async () => (await sluice.client.runs.get(revert.id)).state === 'COMPLETED');
    expect(await story.patch('a')).toMatchObject({ state: 'ROLLED_BACK', reason: 'reverted' });
    await story.until('c', 'VERIFIED');
    const files = await story.git.git(['ls-tree', '-r', '--name-only', 'main', 'p/'], story.git.remote);
    expect(files.split('\n')).toEqual(['p/.keep', 'p/b', 'p/c']);
    await story.end();
  });

  test('a run with land: false is tested, lands nothing and is COMPLETED', async () => {
    const story = await LandingStory.begin(sluice, { rule: '[ ! -e p/bad ]' });
    await story.submit('good', { land: false });
    await story.submit('bad', { land: false });
    expect(await story.until('good', 'EXPIRED')).toMatchObject({ reason: 'proven_not_to_land' });
    expect(await story.until('bad', 'BLOCKED')).toMatchObject({ reason: 'gate_red' });
    await eventually('the run', async () => (await sluice.client.runs.get(story.runOf('good'))).state === 'COMPLETED');
    expect(await story.landed()).toEqual([]);
    await story.end();
  });

  test('a patch that has not landed within expires_in_seconds of its run is EXPIRED', async () => {
    const story = await LandingStory.begin(sluice);
    await story.pause();
    const run = await sluice.client.runs.submit({
      name: 'short',
      repository: story.git.remote,
      expires_in_seconds: 1,
      workstreams: [
        {
          name: 'w',
          tasks: [{ name: 't', tool: 'patch', input: { format: 'inline', files: [{ path: 'p/x', content: 'x' }] } }],
        },
      ],
    });
    const patch = await eventually('the end of the patch', async () => {
      const { patches } = await sluice.client.runs.get(run.id, { expand: ['patches'] });
      return patches!.find(({ state }) => state === 'EXPIRED');
    });
    expect(patch.reason).toBe('too_old');
    await story.resume();
    await story.end();
  });

  test('while the push of a patch is under way an operator cannot drop or reorder it, nor cancel its run', async () => {
    const own = await startForStories({ workers: [{ gateSlots: 2 }], scheduler: false });
    const story = await LandingStory.begin(own);
    const { deps } = own;
    await story.pause();
    const stop = await startAll(createSchedulerRole(deps));
    await story.stage(['a']);
    const { tree_id } = await eventually('the proof', async () => {
      const [entry] = (await own.client.targets.get(story.targetId)).queue!;
      return entry?.place === 'proven' ? entry : undefined;
    });
    await stop();
    await story.resume();
    const lease = (await deps.ledger.write((tx) =>
      acquireLease(tx, { name: 'story', holder: 'story', ttlMs: 60_000 }),
    ))!;
    const [verdict] = await deps.daos.verdicts.findPassed([tree_id!]);
    const intent = await intentFor(story, { tree: tree_id!, digest: verdict!.digest });
    expect(await deps.ledger.write((tx) => openIntent(tx, { lease, seal: deps.seal }, intent))).toMatch(/^intent_/);
    const refused = (asked: Promise<unknown>, code: string) => expect(asked).rejects.toMatchObject({ code });
    await refused(own.client.patches.drop(story.idOf('a'), { reason: 'now' }), 'patch.landing');
    await refused(own.client.runs.cancel(story.runOf('a'), { reason: 'now' }), 'run.landing');
    await refused(own.client.patches.prioritize(story.idOf('a'), { priority: 1, reason: 'now' }), 'patch.landing');
    // The next coordinator finds that the push never happened, and lands the patch.
    const again = await startAll(createSchedulerRole(deps));
    await story.until('a', 'VERIFIED');
    await again();
    await story.end();
    await own.stop();
  });

  test('a coordinator cannot open an intent on a paused target', async () => {
    const story = await LandingStory.begin(sluice);
    await story.pause();
    await story.stage(['a']);
    await story.started('a');
    const { deps } = sluice;
    const lease = (await deps.ledger.write((tx) => acquireLease(tx, { name: 'late', holder: 'late', ttlMs: 60_000 })))!;
    const { tree_id } = await eventually('the proof', async () => {
      const [entry] = (await sluice.client.targets.get(story.targetId)).queue!;
      return entry?.place === 'proven' ? entry : undefined;
    });
    const [verdict] = await deps.daos.verdicts.findPassed([tree_id!]);
    const intent = await intentFor(story, { tree: tree_id!, digest: verdict!.digest });
    expect(await deps.ledger.write((tx) => openIntent(tx, { lease, seal: deps.seal }, intent))).toBeUndefined();
    await story.resume();
    await story.until('a', 'VERIFIED');
    await story.end();
  });
});

test('P4, P8: with ten coordinators started at once each patch lands once and each gate runs once', async () => {
  const story = await LandingStory.begin(sluice);
  const stops = await Promise.all(Array.from({ length: 9 }, () => startAll(createSchedulerRole(sluice.deps))));
  await Promise.all(['a', 'b', 'c'].map((name) => story.submit(name)));
  await story.allUntil(['a', 'b', 'c'], 'VERIFIED');
  expect((await story.landed()).toSorted()).toEqual(['a', 'b', 'c']);
  const runs = await story.runs();
  expect(new Set(runs).size).toBe(runs.length);
  await Promise.all(stops.map((stop) => stop()));
  await story.end();
});
