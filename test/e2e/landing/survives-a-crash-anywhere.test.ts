import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startAll } from '../../../src/lib/component.ts';
import type { CrashPointName } from '../../../src/pipeline/support/ports.ts';
import { createSchedulerRole } from '../../../src/scheduler/scheduler-role.ts';
import { createWorkerRole } from '../../../src/workers/worker-role.ts';
import { LandingStory, startForStories } from '../../support/landing-story.ts';

const POINTS = [
  'before-intent',
  'before-push',
  'after-push',
  'after-settle',
  'gate-claimed',
  'gate-checked-out',
  'gate-judged',
] as const satisfies readonly CrashPointName[];

test.concurrent.for(POINTS)(
  'P8: after a SIGKILL at %s fresh roles land the patch once, and a gate that has passed does not run again',
  async (point, { onTestFinished }) => {
    const sluice = await startForStories({ workers: [], scheduler: false });
    const story = await LandingStory.begin(sluice);
    const dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-crash-'));
    const roles = join(import.meta.dirname, '../../support/crashing-roles.ts');
    const child = spawn(process.execPath, [roles, sluice.deps.database.url, dataDir, point], { stdio: 'ignore' });
    onTestFinished(() => void child.kill('SIGKILL'));
    const died = once(child, 'exit');
    await story.submit('a');
    expect((await died)[1]).toBe('SIGKILL');
    const before = await sluice.deps.daos.gates.findByState('PASSED');

    const worker = createWorkerRole(sluice.deps, { pools: ['default'], taskSlots: 2, gateSlots: 2, drainMs: 1_000 });
    const stop = await startAll([...createSchedulerRole(sluice.deps), ...worker.components]);
    await story.until('a', 'VERIFIED');
    expect(await story.landed()).toEqual(['a']);
    const passed = await sluice.deps.daos.gates.findByState('PASSED');
    expect(passed).toHaveLength(1);
    if (before.length > 0) expect(passed[0]!.gate_id).toBe(before[0]!.gate_id);
    await stop();
    await story.end();
    await rm(dataDir, { recursive: true, force: true });
    await sluice.stop();
  },
);
