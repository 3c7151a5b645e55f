import { expect, test } from 'vitest';
import { GroupCommit } from '../../../src/lib/group-commit.ts';

const keyOf = (item: number): string => String(item);

test('concurrent callers share a commit, and each gets its own answer', async () => {
  const batches: number[][] = [];
  const group = new GroupCommit<number, number>({
    keyOf,
    maxBatch: 10,
    commit: async (items) => {
      batches.push(items);
      return items.map((item) => item * 2);
    },
  });
  expect(await Promise.all([1, 2, 3].map((item) => group.submit(item)))).toEqual([2, 4, 6]);
  expect(batches).toEqual([[1, 2, 3]]);
});

test('two items with one key never share a batch', async () => {
  const batches: number[][] = [];
  const group = new GroupCommit<number, number>({
    keyOf,
    maxBatch: 10,
    commit: async (items) => {
      batches.push(items);
      return items;
    },
  });
  await Promise.all([7, 7, 8].map((item) => group.submit(item)));
  expect(batches).toEqual([[7, 8], [7]]);
});

test('a failed batch is run again one by one: only the bad item fails', async () => {
  const group = new GroupCommit<number, string>({
    keyOf,
    maxBatch: 10,
    commit: async (items) => {
      if (items.includes(13)) throw new Error('unlucky');
      return items.map((item) => `ok ${item}`);
    },
  });
  const settled = await Promise.allSettled([1, 13, 2].map((item) => group.submit(item)));
  expect(settled.map((answer) => (answer.status === 'fulfilled' ? answer.value : 'failed'))).toEqual([
    'ok 1',
    'failed',
    'ok 2',
  ]);
});

test('items submitted while a batch commits go into the next batches', async () => {
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const batches: number[][] = [];
  const group = new GroupCommit<number, number>({
    keyOf,
    maxBatch: 2,
    commit: async (items) => {
      batches.push(items);
      await gate;
      return items;
    },
  });
  const first = group.submit(1);
  await Promise.resolve();
  await Promise.resolve();
  const others = [2, 3, 4].map((item) => group.submit(item));
  release();
  await Promise.all([first, ...others]);
  expect(batches).toEqual([[1], [2, 3], [4]]);
});
