import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readlink } from 'node:fs/promises';
import type { Mirror } from '../git/mirror.ts';
import { splitAtNul } from '../git/tree-changes.ts';
import { MODES } from '../git/tree-draft.ts';
import { writeObject } from '../git/write-object.ts';
import { pathFromBytes, pathToBytes } from '../lib/byte-path.ts';
import { fileBelow } from './seal.ts';

/** Larger files are read by git, which does not load them whole into memory. */
const MAX_READ_BYTES = 16 * 1024 * 1024;

/** A file of a work tree as an object in the mirror. */
export interface StoredFile {
  mode: string;
  blob: string;
}

/** Something in a work tree that git cannot hold: a pipe, a socket, a device, or a file that cannot be read. */
export interface Unstorable {
  unstorable: string;
}

/** Stores a file's bytes or a link's target as they are, without running git in a tree that a child wrote. */
export async function storeFile(mirror: Mirror, work: string, path: string): Promise<StoredFile | Unstorable> {
  const file = fileBelow(work, path);
  const stats = await orUnreadable(lstat(file));
  if ('unstorable' in stats) return stats;
  if (stats.isSymbolicLink()) {
    const target = await orUnreadable(readlink(file, { encoding: 'buffer' }));
    return 'unstorable' in target ? target : { mode: MODES.link, blob: await writeObject(mirror, 'blob', target) };
  }
  if (!stats.isFile()) return { unstorable: kindOf(stats) };
  const handle = await orUnreadable(open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
  if ('unstorable' in handle) return handle;
  try {
    const mode = (stats.mode & 0o100) === 0 ? MODES.file : MODES.executable;
    return { mode, blob: await storeContent(mirror, handle, stats.size) };
  } finally {
    await handle.close();
  }
}

const UNREADABLE = ['EACCES', 'EPERM', 'ELOOP', 'ENXIO', 'ENAMETOOLONG', 'ENOENT', 'ENOTDIR', 'EISDIR'];

/** Turns a fault of reading the work tree into `Unstorable`. Faults of the mirror throw: they are not the change's. */
async function orUnreadable<T>(reading: Promise<T>): Promise<T | Unstorable> {
  try {
    return await reading;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || !UNREADABLE.includes(code)) throw error;
    return { unstorable: `a file that cannot be read (${code})` };
  }
}

async function storeContent(mirror: Mirror, handle: FileHandle, sizeBytes: number): Promise<string> {
  if (sizeBytes <= MAX_READ_BYTES) return writeObject(mirror, 'blob', await handle.readFile());
  // Opened by descriptor, because the child could replace the file at its path.
  return mirror.text({ args: ['hash-object', '-w', '--no-filters', '--', `/proc/${process.pid}/fd/${handle.fd}`] });
}

function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return 'a pipe';
  if (stats.isSocket()) return 'a socket';
  return stats.isDirectory() ? 'a folder' : 'a device';
}

/** Returns those of the untracked paths that the work tree's `.gitignore` files leave out. */
export async function ignoredAmong(mirror: Mirror, work: string, paths: readonly string[]): Promise<Set<string>> {
  if (paths.length === 0) return new Set();
  const stdin = Buffer.concat(paths.flatMap((path) => [pathToBytes(path), Buffer.from('\0')]));
  const { exitCode, stdout, stderr } = await mirror.ask({
    args: ['check-ignore', '--no-index', '-z', '--stdin'],
    workTree: work,
    stdin,
  });
  if (exitCode > 1) throw new Error(`git check-ignore: ${stderr}`);
  return new Set(splitAtNul(stdout).map(pathFromBytes));
}
