import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import { DiskBudget } from '../../../src/workers/disk-budget.ts';

const MEBIBYTE = 1_048_576;

test('over its budget a worker first clears caches, then stops taking work until there is room', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-budget-'));
  const add = (name: string) => writeFile(join(dataDir, 'prepared', name), 'x'.repeat(2 * MEBIBYTE));
  await mkdir(join(dataDir, 'prepared'));
  // Not counted: an embedded database is no work of a worker.
  await writeFile(join(dataDir, 'postgres'), 'x'.repeat(4 * MEBIBYTE));
  const told: boolean[] = [];
  const asked: number[] = [];
  const budget = new DiskBudget({
    dataDir,
    searchPath: process.env.PATH!,
    maxBytes: 3 * MEBIBYTE,
    makeRoom: async (bytes) => {
      asked.push(Math.round(bytes / MEBIBYTE));
      await rm(join(dataDir, 'prepared', 'cache'), { force: true });
    },
    onOver: async (isOver) => void told.push(isOver),
    log: silentLog(),
  });
  try {
    await add('kept');
    await budget.look();
    await add('cache');
    await budget.look();
    expect([told, asked]).toEqual([[], [1]]);
    await add('more');
    await budget.look();
    await budget.look();
    expect(told).toEqual([true]);
    await rm(join(dataDir, 'prepared', 'more'));
    await budget.look();
    expect([told, asked]).toEqual([
      [true, false],
      [1, 1, 1],
    ]);
  } finally {
    await rm(dataDir, { recursive: true });
  }
});

test('a folder that cannot be measured changes nothing', async () => {
  const told: boolean[] = [];
  const budget = new DiskBudget({
    dataDir: '/nowhere',
    searchPath: '/nowhere',
    maxBytes: 1,
    makeRoom: async () => {},
    onOver: async (isOver) => void told.push(isOver),
    log: silentLog(),
  });
  await budget.look();
  expect(told).toEqual([]);
});
