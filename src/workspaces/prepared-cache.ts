import { randomUUID } from 'node:crypto';
import { access, mkdir, readdir, rename, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runChild } from '../lib/process.ts';
import { removeTree } from '../lib/remove-tree.ts';

export interface CacheLimits {
  /** Total of all entries; the longest unused ones go first. */
  maxBytes: number;
  /** Entries unused for so long are removed. */
  unusedDays: number;
}

const COPY_LIMIT_MS = 10 * 60_000;
const DAY_MS = 86_400_000;
/** An entry in use may be copied by another process at this moment, so it stays, whatever the limit is. */
const IN_USE_MS = 3_600_000;
/** Age at which a partial copy, or the rest of a removal, belongs to no living process. */
const LEFT_OVER_MS = DAY_MS;
const ENTRY = /^[0-9a-f]{64}$/;

interface Entry {
  name: string;
  usedAtMs: number;
}

/**
 * Results of `prepare` steps by key, shared by all worker processes of a machine. They are copied out, never shared,
 * because a child may damage its copy.
 */
export class PreparedCache {
  readonly #root: string;
  readonly #searchPath: string;
  readonly #limits: CacheLimits;
  /** Entries never change, so each is measured once. */
  readonly #sizes = new Map<string, number>();

  constructor(root: string, { searchPath, limits }: { searchPath: string; limits: CacheLimits }) {
    this.#root = root;
    this.#searchPath = searchPath;
    this.#limits = limits;
  }

  has(key: string): Promise<boolean> {
    return exists(join(this.#root, key));
  }

  /**
   * Copies the paths of an entry into a folder. False, with nothing copied, when there is no such entry or it was removed
   * meanwhile. Throws when a path cannot be copied, because half of the dependencies would be worse than none.
   */
  async copyOut(key: string, paths: readonly string[], folder: string): Promise<boolean> {
    const entry = join(this.#root, key);
    const now = new Date();
    const isThere = await utimes(entry, now, now).then(
      () => true,
      () => false,
    );
    if (!isThere) return false;
    try {
      await this.#copyAll(paths, { from: entry, to: folder });
    } catch (error) {
      if (await exists(entry)) throw error;
    }
    if (await exists(entry)) return true;
    for (const path of paths) await removeTree(join(folder, path));
    return false;
  }

  /**
   * Removes the longest unused entries until so many bytes are free, or none is left. A copy in progress notices, and
   * its step runs instead.
   */
  async makeRoom(bytes: number): Promise<void> {
    const all = (await this.#entries()).filter(({ name }) => ENTRY.test(name));
    let freed = 0;
    for (const { name } of all.toSorted((a, b) => a.usedAtMs - b.usedAtMs)) {
      if (freed >= bytes) return;
      freed += await this.#sizeOf(name);
      await this.#remove(name);
    }
  }

  /** Copies aside and renames, so that no partial copy is ever found. A failure only means that it is made again. */
  async keep(key: string, paths: readonly string[], folder: string): Promise<void> {
    const entry = join(this.#root, key);
    const half = `${entry}.${randomUUID()}`;
    try {
      await this.#copyAll(paths, { from: folder, to: half });
      await rename(half, entry);
    } catch {
      await removeTree(half);
    }
    await this.trim();
  }

  /** Removes what is unused for too long, and the longest unused entries above the limit. Never throws. */
  async trim(): Promise<void> {
    const now = Date.now();
    const all = await this.#entries();
    const isOver = ({ name, usedAtMs }: Entry): boolean =>
      now - usedAtMs > (ENTRY.test(name) ? this.#limits.unusedDays * DAY_MS : LEFT_OVER_MS);
    for (const { name } of all.filter(isOver)) await this.#remove(name);
    const kept = all.filter((entry) => ENTRY.test(entry.name) && !isOver(entry));
    // One after the other: measuring reads many folders.
    const sizes: number[] = [];
    for (const { name } of kept) sizes.push(await this.#sizeOf(name));
    let total = sizes.reduce((sum, size) => sum + size, 0);
    const byUse = kept
      .map((entry, index) => ({ ...entry, size: sizes[index]! }))
      .toSorted((a, b) => a.usedAtMs - b.usedAtMs);
    for (const { name, usedAtMs, size } of byUse) {
      if (total <= this.#limits.maxBytes || now - usedAtMs < IN_USE_MS) return;
      await this.#remove(name);
      total -= size;
    }
  }

  async #entries(): Promise<Entry[]> {
    const names = await readdir(this.#root).catch(() => []);
    const entries = names.map(async (name): Promise<Entry[]> => {
      const stats = await stat(join(this.#root, name)).catch(() => undefined);
      return stats === undefined ? [] : [{ name, usedAtMs: stats.mtimeMs }];
    });
    return (await Promise.all(entries)).flat();
  }

  /** Renames before it removes: a process that copies from the entry then knows that its copy is incomplete. */
  async #remove(name: string): Promise<void> {
    const dead = join(this.#root, `${name.slice(0, 64)}.${randomUUID()}`);
    this.#sizes.delete(name);
    await rename(join(this.#root, name), dead)
      .then(() => removeTree(dead))
      .catch(() => {});
  }

  async #sizeOf(name: string): Promise<number> {
    const known = this.#sizes.get(name);
    if (known !== undefined) return known;
    const { stdout } = await this.#run(['du', '-sk', '--', name]);
    const bytes = 1_024 * Number.parseInt(stdout.toString('utf8'), 10) || 0;
    this.#sizes.set(name, bytes);
    return bytes;
  }

  async #copyAll(paths: readonly string[], { from, to }: { from: string; to: string }): Promise<void> {
    await mkdir(to, { recursive: true });
    for (const path of paths) {
      const [source, copy] = [join(from, path), join(to, path)];
      if (!(await exists(source))) continue;
      await mkdir(dirname(copy), { recursive: true });
      // The checkout may bring the folder (with a .gitkeep): the copy replaces it and must not go into it.
      await removeTree(copy);
      const { ending, stderr } = await this.#run(['cp', '-a', '--reflink=auto', '-T', '--', source, copy]);
      if (ending.kind === 'exited' && ending.exitCode === 0) continue;
      throw new Error(`${path} cannot be copied: ${stderr.toString().trim() || JSON.stringify(ending)}`);
    }
  }

  #run(argv: string[]) {
    return runChild({ argv, cwd: this.#root, env: { PATH: this.#searchPath }, timeoutMs: COPY_LIMIT_MS });
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
