import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  identityNow,
  identityOf,
  isRunning,
  processesWithVariable,
  processesWorkingIn,
} from '../../../src/lib/process-identity.ts';

let folder: string;
let child: ChildProcess;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-identity-'));
  await mkdir(join(folder, 'real', 'work'), { recursive: true });
  await symlink(join(folder, 'real'), join(folder, 'link'));
  child = spawn('sleep', ['60'], { cwd: join(folder, 'real', 'work'), env: { PATH: process.env.PATH, MARK: folder } });
  await new Promise((resolve) => child.once('spawn', resolve));
});
afterAll(async () => {
  child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

test('a process is found by an exact variable of its environment, and by its working directory, also through a link', async () => {
  expect(await processesWithVariable(`MARK=${folder}`)).toEqual([child.pid]);
  expect(await processesWithVariable(`MARK=${folder.slice(0, -1)}`)).toEqual([]);
  for (const place of ['real', 'real/work', 'link/work']) {
    expect(await processesWorkingIn(join(folder, place))).toEqual([child.pid]);
  }
  expect(await processesWorkingIn(join(folder, 'rea'))).toEqual([]);
});

test('a process is distinguished from a later one with its pid by its start time', async () => {
  const identity = await identityOf(child.pid!);
  expect(identityNow(child.pid!)).toEqual(identity);
  expect(await isRunning(identity)).toBe(true);
  expect(await isRunning({ ...identity, startTicks: `${Number(identity.startTicks) - 1}` })).toBe(false);
});
