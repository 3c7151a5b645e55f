import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GitSandbox, GREEN_POLICY } from '../../harness/git-sandbox.ts';
import { composeOnTip } from '../../src/candidates/compose.ts';
import { policySchema } from '../../src/contract/policy.ts';
import { gateDigest } from '../../src/domain/gates-in-force.ts';
import { NO_TOLERANCE } from '../../src/domain/landing/flake-tolerance.ts';
import { pushByCompareAndSwap } from '../../src/git/push.ts';
import { openIntent } from '../../src/ledger/landing/intents.ts';
import { acquireLease } from '../../src/ledger/leases.ts';
import { startAll } from '../../src/lib/component.ts';
import { processesWithVariable } from '../../src/lib/process-identity.ts';
import { createSchedulerRole } from '../../src/scheduler/scheduler-role.ts';
import { cloneTemplate } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, shell, specOf, startSluice } from '../support/run-sluice.ts';

let sluice: RunningSluice;
let git: GitSandbox;
let secretive: GitSandbox;
beforeAll(async () => {
  const print =
    'test -e x || exit 0; yes filler | head -c 2000000; echo "$OTHER_SECRET the cause: $GATE_SECRET"; exit 1';
  const env = ['GATE_SECRET', 'OTHER_SECRET'];
  secretive = await GitSandbox.create({}, { gates: [{ name: 'g', command: ['sh', '-c', print], env }] });
  sluice = await startSluice({
    config: { repositories: { secretive: { url: secretive.remote, gate_env: ['GATE_SECRET'] } } },
    environment: { GATE_SECRET: 'hunter2-hunter2', OTHER_SECRET: 'not for gates' },
  });
  git = await GitSandbox.create({
    'src/a.sh': 'echo a\n'.repeat(20),
    'win.bat': 'a\r\nb\r\n',
    '.gitattributes': '*.bat text eol=crlf\n',
  });
});
afterAll(async () => {
  await sluice.stop();
  await git.remove();
  await secretive.remove();
});

test('a scope applies to the paths that land: an edit that follows a rename out of the scope is quarantined', async () => {
  const base = await git.tip();
  const content = await git.diffOf({ 'src/a.sh': `${'echo a\n'.repeat(19)}echo evil\n` });
  await git.push({ 'src/a.sh': null, 'ci/a.sh': 'echo a\n'.repeat(20) });
  const task = { name: 'p', tool: 'patch', scope: ['src/**'], input: { format: 'git_patch', base, content } };
  const { patch } = await sluice.finish(specOf(git.remote, [task]));
  expect(patch('p')).toMatchObject({ state: 'QUARANTINED', reason: 'out_of_scope' });
});

test('on a branch with unnormalised line ends an idle tool makes no patch, and a change lands without other files', async () => {
  const { run, patch } = await sluice.finish(
    specOf(git.remote, [shell('idle', 'true'), shell('one', 'echo 1 > one.txt')]),
  );
  expect(run.state).toBe('COMPLETED');
  expect(patch('idle')).toBeUndefined();
  expect(run.patches?.flatMap(({ paths }) => paths)).toEqual(['one.txt']);
});

test('a child that leaves its process group is gone before the slot is used again', async () => {
  const script = 'setsid sh -c "while true; do echo x > leftover; sleep 0.1; done" & echo 2 > two.txt';
  const { run, task } = await sluice.finish(specOf(git.remote, [shell('daemonises', script)]));
  expect(run.state).toBe('COMPLETED');
  expect(await processesWithVariable(`SLUICE_TASK_ID=${task('daemonises').id}`)).toEqual([]);
});

test('the evidence of a red gate is the tail of its output without the secrets that the gate was given', async () => {
  const { run, patch } = await sluice.finish(specOf('secretive', [shell('any', 'echo x > x')]));
  // A variable that the operator does not list in `gate_env` is not set, even if the policy asks for it.
  expect(patch('any')?.evidence?.output_tail).toMatch(/ the cause: \[redacted\]$/);
  expect(JSON.stringify(run)).not.toContain('not for gates');
  expect(JSON.stringify(run)).not.toContain('hunter2');
});

test('a required gate that depends on a red advisory gate still runs', async () => {
  const gates = [
    { name: 'lint', command: ['false'], advisory: true },
    { name: 'unit', command: ['true'], depends_on: ['lint'] },
  ];
  const own = await GitSandbox.create({}, { gates });
  const { run } = await sluice.finish(specOf(own.remote, [shell('any', 'echo x > x')]));
  expect(run.state).toBe('COMPLETED');
  await own.remove();
});

test('a push that the remote refuses pauses the target with the remote’s message, and after a resume the patch lands without a new gate run', async () => {
  const own = await GitSandbox.create();
  const hook = join(own.remote, 'hooks', 'pre-receive');
  await writeFile(hook, '#!/bin/sh\necho "main is frozen" >&2\nexit 1\n');
  await chmod(hook, 0o755);
  const { id } = await sluice.client.runs.submit(specOf(own.remote, [shell('any', 'echo x > x')]));
  const targetId = `${own.remote}@main`;
  await eventually('the pause', async () =>
    (await sluice.client.targets.get(targetId)).pause_reason?.includes('main is frozen'),
  );
  expect((await sluice.deps.daos.patches.findByRun(id))[0]).toMatchObject({ state: 'STAGED', intent_id: null });
  await rm(hook);
  await sluice.client.targets.resume(targetId, { reason: 'thawed' });
  await eventually('the end', async () => (await sluice.client.runs.get(id)).state === 'COMPLETED');
  expect(await sluice.deps.daos.gates.findByRun(id)).toHaveLength(1);
  await own.remove();
});

test.each(['before the push', 'after the push'] as const)(
  'P8: after a coordinator died %s, the next one settles its intent and the patch lands once',
  async (moment) => {
    const own = await GitSandbox.create();
    const databaseUrl = await cloneTemplate();
    const dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-crash-'));
    const first = await startSluice({ databaseUrl, dataDir });
    await first.client.runs.submit(specOf(own.remote, [shell('warm-up', 'true')]));
    const targetId = `${own.remote}@main`;
    await eventually('the target', async () => first.deps.daos.targets.find(targetId));
    await first.client.targets.pause(targetId, { reason: 'to die in between' });
    const { id } = await first.client.runs.submit(specOf(own.remote, [shell('any', 'echo x > x')]));
    await eventually('a green gate', async () => (await first.deps.daos.gates.findByState('PASSED'))[0]);
    const [patch] = await first.deps.daos.patches.findQueue(targetId, 1);
    const tip = await own.mirror.fetchTip('main');
    const committer = first.deps.repositories.committer(own.remote);
    const composed = await composeOnTip(
      { mirror: own.mirror, committer, readDiff: (patchId) => first.deps.daos.patches.readDiff(patchId) },
      { tip: tip.commit, patches: [patch!] },
    );
    if (!composed.ok) throw new Error(composed.reason);
    const { commit, tree } = composed.commits[0]!;
    await first.stop();

    const again = await startSluice({ databaseUrl, workers: [], scheduler: false });
    await again.client.targets.resume(targetId, { reason: 'went away' });
    const lease = await eventually('the lease', async () =>
      again.deps.ledger.write((tx) => acquireLease(tx, { name: `dead:${targetId}`, holder: 'dead', ttlMs: 60_000 })),
    );
    const gate = policySchema.parse(GREEN_POLICY).gates[0]!;
    const intent = {
      targetId,
      oldTip: tip.commit,
      newCommit: commit,
      treeId: tree,
      prove: 'every_commit' as const,
      patches: [{ patch_id: patch!.patch_id, commit, tree }],
      proofs: [
        {
          tree,
          digest: gateDigest(gate, [], { ...again.deps.repositories.gateRoom(own.remote), values: {} }),
          gate: gate.name,
          tolerance: NO_TOLERANCE,
        },
      ],
    };
    expect(
      await again.deps.ledger.write((tx) => openIntent(tx, { lease: lease!, seal: again.deps.seal }, intent)),
    ).toMatch(/^intent_/);
    if (moment === 'after the push') {
      await pushByCompareAndSwap(own.mirror, { branch: 'main', oldTip: tip.commit, newCommit: commit });
    }
    const stop = await startAll(createSchedulerRole(again.deps));
    await eventually('the end', async () => (await again.client.runs.get(id)).state === 'COMPLETED');
    expect(await own.subjects()).toEqual(['change', 'test: any']);
    expect(await again.deps.daos.gates.findByRun(id)).toHaveLength(1);
    await stop();
    await again.stop();
    await rm(dataDir, { recursive: true, force: true });
    await own.remove();
  },
);
