import { type BigIntStats, constants, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { holdsRawBytes, pathFromBytes, pathToBytes } from '../lib/byte-path.ts';
import { sleep } from '../lib/clock.ts';

/**
 * What stands in a folder, by path: mode, inode, size and the time of the last change of any of them, to the nanosecond. The
 * kernel writes that time; no child can set it back, as it can the time of modification.
 */
export type Seal = Map<string, string>;

export interface Differences {
  added: string[];
  /** Changed or gone. */
  broken: string[];
}

/** The event loop gets a turn after this many files. */
const CHUNK = 500;
/** Longer than a tick of the clock that the kernel stamps files with. */
const TICK_MS = 12;

export async function sealFolder(folder: string, below = ''): Promise<Seal> {
  const seal: Seal = new Map();
  const open = [below];
  const own = lstatSync(folder, { bigint: true });
  // A link in the folder's place would lead out of it.
  if (!own.isDirectory()) throw Object.assign(new Error(`${folder} is no folder`), { code: 'ENOTDIR' });
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

/** Where a path below a folder is; as bytes where its name is no UTF-8. */
export function fileBelow(folder: string, path: string): string | Buffer {
  if (!holdsRawBytes(path)) return join(folder, path);
  return Buffer.concat([Buffer.from(`${folder}/`), pathToBytes(path)]);
}

/** False for a folder and for nothing; `odd` for a pipe, a socket or a device. */
export function isSealedFile(seal: Seal, path: string): false | 'plain' | 'odd' {
  const signature = seal.get(path);
  if (signature === undefined || signature.startsWith('d ')) return false;
  const type = Number(signature.slice(0, signature.indexOf(' '))) & constants.S_IFMT;
  return type === constants.S_IFREG || type === constants.S_IFLNK ? 'plain' : 'odd';
}

/** Signs paths anew that we have just written; those that are gone are taken out, with all below them. */
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

/** Throws where a folder cannot be read: then nothing is known of it. */
export async function differencesFrom(seal: Seal, folder: string): Promise<Differences> {
  const now = await sealFolder(folder);
  const added = [...now.keys()].filter((path) => !seal.has(path));
  const broken = [...seal].filter(([path, signature]) => now.get(path) !== signature).map(([path]) => path);
  return { added, broken };
}

/** A change in the very tick in which a file was signed could not be seen: a child must not start within it. */
export async function letClockTick(signedAtMs: number | undefined): Promise<void> {
  const leftMs = signedAtMs === undefined ? 0 : signedAtMs + TICK_MS - Date.now();
  if (leftMs > 0) await sleep(leftMs);
}

function signatureOf(stats: BigIntStats): string {
  // A folder's times move with what is in it, and that is signed itself.
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
