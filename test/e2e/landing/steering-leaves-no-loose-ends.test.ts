import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { pushByCompareAndSwap } from '../../../src/git/push.ts';
import { eventually } from '../../support/eventually.ts';
import { LandingStory, startForStories } from '../../support/landing-story.ts';
import type { RunningSluice } from '../../support/run-sluice.ts';

let sluice: RunningSluice;
beforeAll(async () => {
  sluice = await startForStories({ workers: [{ taskSlots: 4, gateSlots: 4 }] });
});

const patchOf = (name: string, more: object = {}) => ({
  name,
  tool: 'patch',
  input: { format: 'inline', files: [{ path: `p/${name}`, content: 'x\n' }] },
  ...more,
});
const settled = (runId: string, ...states: string[]) =>
  eventually('the end of the run', async () => {
    const run = await sluice.client.runs.get(runId, { expand: ['workstreams', 'tasks', 'patches'] });
    return states.includes(run.state) ? run : undefined;
  });
const statesOf = (objects: { name: string; state: string }[] | undefined) =>
  Object.fromEntries(objects!.map(({ name, state }) => [name, state]));

test('a patch quarantined as too_large cannot be approved, and does not hold up other patches', async () => {
  const story = await LandingStory.begin(sluice, { policy: { limits: { max_bytes: 1_000 } } });
  await story.submit('huge', { files: { 'p/huge': 'x'.repeat(10_000) } });
  expect(await story.until('huge', 'QUARANTINED')).toMatchObject({ reason: 'too_large' });
  await expect(sluice.client.patches.approve(story.idOf('huge'), { reason: 'please' })).rejects.toMatchObject({
    code: 'state.changed',
  });
  await story.stage(['a']);
  await story.until('a', 'VERIFIED');
  await story.end();
});

test('a patch that was dropped before it was checked never lands', async () => {
  const own = await startForStories({ workers: [] });
  const story = await LandingStory.begin(own);
  await story.submit('a');
  await own.client.patches.drop(story.idOf('a'), { reason: 'not this one' });
  const run = await eventually('the end', async () => {
    const found = await own.client.runs.get(story.runOf('a'), { expand: ['tasks', 'patches'] });
    return found.state === 'FAILED' ? found : undefined;
  });
  expect(run.tasks![0]!.state).toBe('CANCELLED');
  expect(run.patches!.map(({ state }) => state)).toEqual(['EXPIRED']);
  await story.end();
  await own.stop();
});

test('requeueing the patch of a task revives dependants of that task alone; a dependant of another failed task stays CANCELLED', async () => {
  const story = await LandingStory.begin(sluice, { rule: '[ -e "$control/mended" ] || [ ! -e p/a ] && [ ! -e p/b ]' });
  const run = await sluice.client.runs.submit({
    name: 'needs',
    repository: story.git.remote,
    workstreams: [
      {
        name: 'w',
        tasks: [
          patchOf('a'),
          patchOf('b'),
          patchOf('of-a', { depends_on: ['a'] }),
          patchOf('of-both', { depends_on: ['a', 'b'] }),
        ],
      },
    ],
  });
  const failed = await settled(run.id, 'FAILED');
  await story.rule('[ ! -e p/b ]');
  const a = failed.tasks!.find(({ name }) => name === 'a')!;
  const patch = failed.patches!.find(({ task_id }) => task_id === a.id)!;
  await sluice.client.patches.requeue(patch.id, { reason: 'the rule was wrong' });
  await eventually('a to land', async () => (await sluice.client.patches.get(patch.id)).state === 'VERIFIED');
  const ended = await settled(run.id, 'FAILED');
  expect(statesOf(ended.tasks)).toEqual({ a: 'COMPLETED', b: 'FAILED', 'of-a': 'COMPLETED', 'of-both': 'CANCELLED' });
  expect(ended).toMatchObject({ tasks_ended: 4, progress_percentage: 100 });
  await story.end();
});

test('requeueing the patch of a failed workstream revives the workstream ABANDONED because of it, and the run completes', async () => {
  const story = await LandingStory.begin(sluice, { rule: '[ ! -e p/a ]' });
  const run = await sluice.client.runs.submit({
    name: 'streams',
    repository: story.git.remote,
    workstreams: [
      { name: 'one', tasks: [patchOf('a')] },
      { name: 'two', depends_on: ['one'], tasks: [patchOf('c'), patchOf('d', { depends_on: ['c'] })] },
    ],
  });
  const failed = await settled(run.id, 'FAILED');
  expect(statesOf(failed.workstreams)).toEqual({ one: 'FAILED', two: 'ABANDONED' });
  await story.rule('exit 0');
  const patch = failed.patches!.find(({ state }) => state === 'BLOCKED')!;
  await sluice.client.patches.requeue(patch.id, { reason: 'the rule was wrong' });
  const ended = await settled(run.id, 'COMPLETED');
  expect(statesOf(ended.workstreams)).toEqual({ one: 'COMPLETED', two: 'COMPLETED' });
  expect(statesOf(ended.tasks)).toEqual({ a: 'COMPLETED', c: 'COMPLETED', d: 'COMPLETED' });
  await story.end();
});

test('a patch of a cancelled run cannot be requeued', async () => {
  const story = await LandingStory.begin(sluice, { rule: '[ -z "$names" ]' });
  const run = await sluice.client.runs.submit({
    name: 'gone',
    repository: story.git.remote,
    workstreams: [
      { name: 'w', tasks: [patchOf('a'), { name: 'long', tool: 'command', input: { argv: ['sleep', '60'] } }] },
    ],
  });
  const patch = await eventually('the block', async () => {
    const { patches } = await sluice.client.runs.get(run.id, { expand: ['patches'] });
    return patches!.find(({ state }) => state === 'BLOCKED');
  });
  await sluice.client.runs.cancel(run.id, { reason: 'enough' });
  await expect(sluice.client.patches.requeue(patch.id, { reason: 'still wanted' })).rejects.toMatchObject({
    code: 'state.changed',
  });
  expect(await sluice.client.runs.get(run.id)).toMatchObject({ state: 'FAILED', reason: 'cancelled' });
  await story.end();
});

test('P5: a push that was given up but arrives later is found on the branch, and its patch is VERIFIED', async () => {
  const story = await LandingStory.begin(sluice);
  const hook = join(story.git.remote, 'hooks', 'pre-receive');
  await writeFile(hook, '#!/bin/sh\necho permission denied >&2\nexit 1\n');
  await chmod(hook, 0o755);
  await story.stage(['a']);
  await eventually('the refusal', async () => (await sluice.client.targets.get(story.targetId)).paused_at !== null);
  const [intent] = await sluice.deps.daos.intents.findCleared(story.targetId, { limit: 1 });
  await rm(hook);
  // As if the push had hung until now; its objects are in the coordinator's mirror.
  const mirror = sluice.deps.mirrorsOf('scheduler').of(story.git.remote);
  await mirror.fetchTip('main');
  await pushByCompareAndSwap(mirror, { branch: 'main', oldTip: intent!.old_tip, newCommit: intent!.new_commit });
  expect(await story.until('a', 'VERIFIED')).toMatchObject({ landed_commit: intent!.new_commit });
  await story.resume();
  await story.end();
});

test('prefixes that go red at the same moment count as one occasion, and no patch is blocked', async () => {
  const story = await LandingStory.begin(sluice, { rule: '[ -e "$control/well" ] || [ -z "$names" ]' });
  await story.hold();
  await story.stage(['a', 'b', 'c', 'd']);
  await story.started('a b c d');
  await story.release();
  await eventually('four reds', async () => {
    const gates = await sluice.deps.daos.gates.findBy({ target_id: story.targetId, outcome: 'red' });
    return gates.length >= 4;
  });
  await story.tell('well');
  await story.allUntil(['a', 'b', 'c', 'd'], 'VERIFIED');
  await story.end();
});

test('while a machine fault makes every gate red no patch is blocked, although the tip was green before', async () => {
  const story = await LandingStory.begin(sluice, { rule: '[ ! -e "$control/trouble" ]' });
  await story.stage(['first']);
  await story.until('first', 'VERIFIED');
  await story.tell('trouble');
  await story.stage(['a', 'b']);
  const redTip = async () => (await sluice.client.targets.get(story.targetId)).red_tip?.outcome === 'red';
  await eventually('the red tip', redTip);
  await rm(join(story.git.folder, 'control', 'trouble'));
  await story.stage(['c']);
  await eventually('the end of all', async () => (await story.landed()).length === 4);
  await story.allUntil(['c', 'a', 'b'], 'VERIFIED');
  await story.end();
});
