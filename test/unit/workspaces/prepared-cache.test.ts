import { mkdir, mkdtemp, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { removeTree } from '../../../src/lib/remove-tree.ts';
import { PreparedCache } from '../../../src/workspaces/prepared-cache.ts';

const MEBIBYTE = 1_048_576;
const HOUR_MS = 3_600_000;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-cache-'));
});
afterAll(() => removeTree(folder));

let caches = 0;
async function cacheOf(limits: { maxBytes: number; unusedDays: number }) {
  caches += 1;
  const root = join(folder, `cache-${caches}`);
  const cache = new PreparedCache(root, { searchPath: process.env.PATH!, limits });
  const add = async (letter: string, unusedHours: number): Promise<string> => {
    const key = letter.repeat(64);
    const made = join(folder, `made-${caches}-${letter}`);
    await mkdir(join(made, 'kept'), { recursive: true });
    await writeFile(join(made, 'kept', 'file'), letter.repeat(MEBIBYTE));
    await cache.keep(key, ['kept', 'never-made'], made);
    const usedAt = new Date(Date.now() - unusedHours * HOUR_MS);
    await utimes(join(root, key), usedAt, usedAt);
    return key;
  };
  const left = async () => (await readdir(root)).map((name) => name.slice(0, 1)).toSorted();
  return { cache, root, add, left };
}

test('an entry is copied out whole; one that is not there, or was removed, is not', async () => {
  const { cache, add, root } = await cacheOf({ maxBytes: 1e9, unusedDays: 1 });
  const key = await add('a', 0);
  const slot = join(folder, 'slot');
  expect(await cache.copyOut('b'.repeat(64), ['kept'], slot)).toBe(false);
  expect(await cache.copyOut(key, ['kept', 'never-made'], slot)).toBe(true);
  expect(await readFile(join(slot, 'kept', 'file'), 'utf8')).toHaveLength(MEBIBYTE);
  await removeTree(join(root, key));
  expect(await cache.has(key)).toBe(false);
  expect(await cache.copyOut(key, ['kept'], slot)).toBe(false);
});

test('above its size the longest unused entries go, except those that may be in use', async () => {
  const { cache, add, left } = await cacheOf({ maxBytes: 2.5 * MEBIBYTE, unusedDays: 30 });
  for (const [letter, unusedHours] of Object.entries({ a: 3, b: 9, c: 2 })) await add(letter, unusedHours);
  await cache.trim();
  expect(await left()).toEqual(['a', 'c']);
  await cache.copyOut('a'.repeat(64), ['kept'], join(folder, 'other'));
  await add('d', 0);
  await cache.trim();
  expect(await left()).toEqual(['a', 'd']);
  await add('e', 0);
  await cache.trim();
  expect(await left()).toEqual(['a', 'd', 'e']);
});

test('entries unused for too long go, and so do partial copies of processes that died', async () => {
  const { cache, root, add, left } = await cacheOf({ maxBytes: 1e9, unusedDays: 1 });
  await add('a', 25);
  await add('b', 23);
  for (const [name, hours] of [
    ['c'.repeat(64), 30],
    ['d'.repeat(64), 1],
  ] as const) {
    const half = join(root, `${name}.half`);
    await mkdir(half);
    await utimes(half, new Date(), new Date(Date.now() - hours * HOUR_MS));
  }
  await cache.trim();
  expect(await left()).toEqual(['b', 'd']);
});

test('room is made by the longest unused entries, as much as is asked for', async () => {
  const { cache, add, left } = await cacheOf({ maxBytes: 1e9, unusedDays: 30 });
  for (const [letter, unusedHours] of Object.entries({ a: 3, b: 9, c: 2, d: 0 })) await add(letter, unusedHours);
  await cache.makeRoom(1);
  expect(await left()).toEqual(['a', 'c', 'd']);
  await cache.makeRoom(10 * MEBIBYTE);
  expect(await left()).toEqual([]);
});
