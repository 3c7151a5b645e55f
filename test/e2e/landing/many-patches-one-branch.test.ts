import { beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { LandingStory, startForStories } from '../../support/landing-story.ts';
import { type RunningSluice, shell, specOf } from '../../support/run-sluice.ts';

let sluice: RunningSluice;
beforeAll(async () => {
  sluice = await startForStories({ workers: [{ taskSlots: 4, gateSlots: 4 }] });
});

const FOUR = ['a', 'b', 'c', 'd'];
/** Gate rule that is red on a tree with all of these names. */
const redWith = (...names: string[]) =>
  [...names.map((name) => `case " $names " in *" ${name} "*) ;; *) exit 0;; esac`), 'exit 1'].join('\n');

describe('prefixes in parallel', () => {
  test('with four slots four prefixes of the queue are tested at once, and their patches land in queue order', async () => {
    const story = await LandingStory.begin(sluice);
    await story.hold();
    await story.stage(FOUR);
    for (const prefix of ['a', 'a b', 'a b c', 'a b c d']) await story.started(prefix);
    await story.release();
    await story.allUntil(FOUR, 'VERIFIED');
    expect(await story.landed()).toEqual(FOUR);
    expect(await story.runs()).toHaveLength(4);
    await story.end();
  });

  test('a policy of one slot tests one candidate at a time', async () => {
    const story = await LandingStory.begin(sluice, { landing: { slots: 1 } });
    await story.hold();
    await story.stage(FOUR);
    await story.started('a');
    const { queue } = await sluice.client.targets.get(story.targetId);
    expect(queue!.map(({ place }) => place)).toEqual(['testing', 'queued', 'queued', 'queued']);
    expect(await story.runs()).toEqual(['a']);
    await story.release();
    await story.allUntil(FOUR, 'VERIFIED');
    expect(await story.runs()).toEqual(['a', 'a b', 'a b c', 'a b c d']);
    await story.end();
  });

  test('a shrinking window cancels no running gate', async () => {
    const own = await startForStories({ workers: [{ gateSlots: 2 }, { gateSlots: 2 }] });
    const story = await LandingStory.begin(own);
    await story.hold();
    await story.stage(FOUR);
    await story.started('a b c d');
    await own.deps.daos.workers.update(own.workerIds[0]!, { draining: true });
    await eventually('the smaller window', async () => (await own.client.targets.get(story.targetId)).slots === 2);
    await story.release();
    await story.allUntil(FOUR, 'VERIFIED');
    const gates = await own.deps.daos.gates.findBy({ target_id: story.targetId });
    expect(gates.map(({ state }) => state)).toEqual(FOUR.map(() => 'PASSED'));
    await story.end();
    await own.stop();
  });
});

describe('failures', () => {
  test('a bad patch at the head is blocked, and the others land without it', async () => {
    const story = await LandingStory.begin(sluice, { rule: redWith('a') });
    await story.hold();
    await story.stage(FOUR);
    await story.started('a b c d');
    await story.release();
    await story.allUntil(['b', 'c', 'd'], 'VERIFIED');
    expect(await story.until('a', 'BLOCKED')).toMatchObject({ reason: 'gate_red', evidence: { gate: 'scripted' } });
    expect(await story.landed()).toEqual(['b', 'c', 'd']);
    await story.end();
  });

  test('a bad patch in the middle is blocked: the patch before it lands, and those behind it land without it', async () => {
    const story = await LandingStory.begin(sluice, { rule: redWith('b') });
    await story.hold();
    await story.stage(FOUR);
    await story.started('a b c d');
    await story.release();
    await story.allUntil(['a', 'c', 'd'], 'VERIFIED');
    await story.until('b', 'BLOCKED');
    expect(await story.landed()).toEqual(['a', 'c', 'd']);
    await story.end();
  });

  test('when a bad patch makes the prefix behind it red, only the bad patch is blocked', async () => {
    const story = await LandingStory.begin(sluice, { rule: redWith('a') });
    await story.hold();
    await story.stage(['a', 'b']);
    await story.started('a b');
    await story.release();
    await story.until('b', 'VERIFIED');
    await story.until('a', 'BLOCKED');
    await story.end();
  });

  test('two patches green alone and red together: the first lands, the second is blocked', async () => {
    const story = await LandingStory.begin(sluice, { rule: redWith('a', 'b') });
    await story.stage(['a', 'b']);
    await story.until('a', 'VERIFIED');
    expect(await story.until('b', 'BLOCKED')).toMatchObject({ reason: 'gate_red' });
    await story.end();
  });

  test('with every_commit, a patch that is red without the patch behind it does not hold that one up', async () => {
    const story = await LandingStory.begin(sluice, { rule: `case "$names" in a) exit 1;; esac; exit 0` });
    await story.hold();
    await story.stage(['a', 'b']);
    await story.started('a b');
    await story.release();
    await story.until('b', 'VERIFIED');
    await story.until('a', 'BLOCKED', 'VERIFIED');
    await story.end();
  });

  test('when every patch is bad, every patch is blocked and nothing lands', async () => {
    const story = await LandingStory.begin(sluice, { rule: '[ -z "$names" ]' });
    await story.stage(['a', 'b', 'c']);
    await story.allUntil(['a', 'b', 'c'], 'BLOCKED');
    expect(await story.landed()).toEqual([]);
    await story.end();
  });
});

describe('batches', () => {
  const batch = { prove: 'batch', slots: 1, max_batch: 20 } as const;

  test('three patches on one old base land as a batch after one gate run, and the audit proves all three by it', async () => {
    const story = await LandingStory.begin(sluice, { landing: batch });
    const base = await story.git.tip();
    await story.hold();
    await story.stage(['first']);
    await story.started('first');
    await story.stage(['a', 'b', 'c'], {});
    await story.release();
    await story.allUntil(['first', 'a', 'b', 'c'], 'VERIFIED');
    expect(await story.runs()).toEqual(['first', 'a b c first']);
    const diff = await story.git.git(['diff', '--name-only', base, 'main'], story.git.remote);
    expect(diff.split('\n')).toEqual(['p/a', 'p/b', 'p/c', 'p/first']);
    const audit = await sluice.client.targets.audit(story.targetId);
    expect(new Set(audit.commits.slice(1).map(({ proven_by }) => proven_by)).size).toBe(1);
    await story.end();
  });

  test('a red batch is bisected until the bad patch is alone, and the others land', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const story = await LandingStory.begin(sluice, { landing: batch, rule: redWith('f') });
    await story.pause();
    await story.stage(names);
    await story.forgetRuns();
    await story.resume();
    await story.allUntil(
      names.filter((name) => name !== 'f'),
      'VERIFIED',
    );
    await story.until('f', 'BLOCKED');
    await story.end();
  });

  test('in a batch, a patch that is red without the patch behind it lands together with it', async () => {
    const rule = `case "$names" in a) exit 1;; esac; exit 0`;
    const story = await LandingStory.begin(sluice, { landing: { ...batch, slots: 2 }, rule });
    await story.hold();
    await story.stage(['a', 'b']);
    await story.started('a b');
    await story.release();
    await story.allUntil(['a', 'b'], 'VERIFIED');
    await story.end();
  });
});

describe('conflicts', () => {
  test('a patch that conflicts with the one before it is blocked when that one lands, with files and hunks as evidence', async () => {
    const story = await LandingStory.begin(sluice, { files: { 'shared.txt': 'old\n' } });
    const base = await story.git.tip();
    const ours = await story.git.diffOf({ 'shared.txt': 'ours\n' });
    const theirs = await story.git.diffOf({ 'shared.txt': 'theirs\n' });
    await story.hold();
    await story.submit('ours', { input: { format: 'git_patch', base, content: ours } });
    await story.until('ours', 'STAGED');
    await story.submit('theirs', { input: { format: 'git_patch', base, content: theirs } });
    await story.until('theirs', 'STAGED');
    await eventually('the place behind', async () => {
      const { queue } = await sluice.client.targets.get(story.targetId);
      return queue?.find(({ patch_id }) => patch_id === story.idOf('theirs'))?.place === 'behind';
    });
    await story.release();
    await story.until('ours', 'VERIFIED');
    const blocked = await story.until('theirs', 'BLOCKED');
    expect(blocked).toMatchObject({ reason: 'conflict', evidence: { files: ['shared.txt'] } });
    expect(blocked.evidence!.hunks).toMatchObject({ 'shared.txt': expect.stringMatching(/ours[\s\S]*theirs/) });
    // `theirs` was never tested, because it could not be composed behind `ours`.
    expect(await story.runs()).toHaveLength(1);
    await story.end();
  });

  test('a patch that conflicts only with a bad patch lands', async () => {
    const rule = 'grep -q ours shared.txt && exit 1; exit 0';
    const story = await LandingStory.begin(sluice, { files: { 'shared.txt': 'old\n' }, rule });
    const base = await story.git.tip();
    for (const name of ['ours', 'theirs']) {
      const content = await story.git.diffOf({ 'shared.txt': `${name}\n` });
      await story.submit(name, { input: { format: 'git_patch', base, content } });
      await story.until(name, 'STAGED', 'VERIFIED');
    }
    await story.until('theirs', 'VERIFIED');
    await story.until('ours', 'BLOCKED');
    await story.end();
  });

  test('an agent whose change conflicts is retried on the new base with files and hunks as evidence, and its new patch supersedes the old one', async () => {
    const story = await LandingStory.begin(sluice, { files: { 'shared.txt': 'old\n' } });
    await story.hold();
    const script = `if [ -f "$SLUICE_EVIDENCE_FILE" ]; then cp "$SLUICE_EVIDENCE_FILE" p/evidence; echo merged >> shared.txt; else echo mine > shared.txt; fi`;
    const run = await sluice.client.runs.submit(specOf(story.git.remote, [shell('agent', script, { max_retries: 1 })]));
    await eventually('its gate', async () => (await story.runs()).length > 0);
    await story.git.push({ 'shared.txt': 'theirs\n' }, 'theirs');
    await story.release();
    await eventually('the end', async () => (await sluice.client.runs.get(run.id)).state === 'COMPLETED');
    const { patches, tasks } = await sluice.client.runs.get(run.id, { expand: ['patches', 'tasks'] });
    expect(patches!.map(({ state, reason }) => [state, reason])).toEqual([
      ['SUPERSEDED', 'newer_attempt'],
      ['VERIFIED', null],
    ]);
    expect(tasks![0]).toMatchObject({ attempt: 2, retry_count: 1 });
    expect(await story.git.read('shared.txt')).toBe('theirs\nmerged');
    const evidence = JSON.parse(await story.git.read('p/evidence'));
    expect(evidence).toMatchObject({ reason: 'conflict', files: ['shared.txt'] });
    expect(evidence.hunks['shared.txt']).toMatch(/theirs[\s\S]*mine/);
    await story.end();
  });

  test('a patch far back in the queue is blocked for its conflict with a patch that landed', async () => {
    const story = await LandingStory.begin(sluice, { landing: { slots: 1 }, files: { 'shared.txt': 'old\n' } });
    const base = await story.git.tip();
    const change = async (text: string) => story.git.diffOf({ 'shared.txt': text });
    await story.hold();
    await story.submit('a', { input: { format: 'git_patch', base, content: await change('a\n') } });
    await story.until('a', 'STAGED');
    await story.stage(['b', 'c']);
    await story.submit('z', { input: { format: 'git_patch', base, content: await change('z\n') } });
    await story.until('z', 'STAGED');
    await story.started('nothing');
    await story.release();
    await story.until('z', 'BLOCKED');
    await story.allUntil(['a', 'b', 'c'], 'VERIFIED');
    await story.end();
  });
});
