import { type BigIntStats, constants, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { holdsRawBytes, pathFromBytes, pathToBytes } from '../lib/byte-path.ts';
import { sleep } from '../lib/clock.ts';

/**
 * Signature of each path in a folder: mode, inode, size and ctime in nanoseconds. The kernel sets ctime; a child cannot
 * set it back, as it can mtime.
 */
export type Seal = Map<string, string>;

export interface Differences {
  added: string[];
  /** Changed or gone. */
  broken: string[];
}

/** The event loop gets a turn after this many files. */
const CHUNK = 500;
/** Longer than one tick of the clock from which the kernel takes file times (at most 10 ms). */
const TICK_MS = 12;

export async function sealFolder(folder: string, below = ''): Promise<Seal> {
  const seal: Seal = new Map();
  const open = [below];
  const own = lstatSync(folder, { bigint: true });
  // A link in place of the folder would lead out of it.
  if (!own.isDirectory()) throw Object.assign(new Error(`${folder} is not a folder`), { code: 'ENOTDIR' });
  if (below === '') seal.set('', signatureOf(own));
  let seen = 0;
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    for (const entry of readdirSync(fileBelow(folder, path), { withFileTypes: true, encoding: 'buffer' })) {
      const name = pathFromBytes(entry.name);
      const inside = path === '' ? name : `${path}/${name}`;
      if (entry.isDirectory()) open.push(inside);
      seal.set(inside, signatureOf(lstatSync(fileBelow(folder, inside), { bigint: true })));
      seen += 1;
      if (seen % CHUNK === 0) await breathe();
    }
  }
  return seal;
}

/** Returns the location of a path below a folder, as bytes when its name is not UTF-8. */
export function fileBelow(folder: string, path: string): string | Buffer {
  if (!holdsRawBytes(path)) return join(folder, path);
  return Buffer.concat([Buffer.from(`${folder}/`), pathToBytes(path)]);
}

/** Returns false for a folder or a missing path, `odd` for a pipe, a socket or a device. */
export function isSealedFile(seal: Seal, path: string): false | 'plain' | 'odd' {
  const signature = seal.get(path);
  if (signature === undefined || signature.startsWith('d ')) return false;
  const type = Number(signature.slice(0, signature.indexOf(' '))) & constants.S_IFMT;
  return type === constants.S_IFREG || type === constants.S_IFLNK ? 'plain' : 'odd';
}

/** Signs paths that we have just written, and their parents. Paths that no longer exist are taken out. */
export function signAgain(seal: Seal, folder: string, paths: Iterable<string>): void {
  for (const path of withParents(paths)) {
    const stats = lstatSync(fileBelow(folder, path), { bigint: true, throwIfNoEntry: false });
    if (stats !== undefined) seal.set(path, signatureOf(stats));
    else seal.delete(path);
  }
}

export function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

export function forgetBelow(seal: Seal, folder: string): void {
  for (const path of seal.keys()) if (isInside(path, folder)) seal.delete(path);
}

/** Throws when a folder cannot be read, because its state is then unknown. */
export async function differencesFrom(seal: Seal, folder: string): Promise<Differences> {
  const now = await sealFolder(folder);
  const added = [...now.keys()].filter((path) => !seal.has(path));
  const broken = [...seal].filter(([path, signature]) => now.get(path) !== signature).map(([path]) => path);
  return { added, broken };
}

/** Waits until a child may start: a change within the tick in which a file was signed would not be detected. */
export async function letClockTick(signedAtMs: number | undefined): Promise<void> {
  const leftMs = signedAtMs === undefined ? 0 : signedAtMs + TICK_MS - Date.now();
  if (leftMs > 0) await sleep(leftMs);
}

function signatureOf(stats: BigIntStats): string {
  // A folder's times change with its entries, which have signatures of their own.
  if (stats.isDirectory()) return `d ${stats.mode}`;
  return `${stats.mode} ${stats.ino} ${stats.size} ${stats.ctimeNs}`;
}

export function withParents(paths: Iterable<string>): Set<string> {
  const all = new Set<string>();
  for (const path of paths) {
    const parts = path.split('/');
    for (let n = 1; n <= parts.length; n += 1) all.add(parts.slice(0, n).join('/'));
  }
  return all;
}
