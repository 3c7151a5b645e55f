import { createHash, randomUUID } from 'node:crypto';
import { access, mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToBytes } from '../lib/byte-path.ts';
import { removeTree } from '../lib/remove-tree.ts';
import { scratchOf } from './mirror-folder.ts';
import type { ObjectStore } from './object-store.ts';
import { listTree, type TreeEntry } from './tree-changes.ts';
import { TreeFact } from './tree-fact.ts';

const NAME = /(^|\/)\.gitattributes$/;

/**
 * Provides the merge attributes (`-merge`, `binary`, `merge=union`) that a commit's `.gitattributes` files set. git
 * reads them from a work tree only, so each distinct set is written to a folder of its own.
 */
export class MergeAttributes {
  readonly #mirror: ObjectStore;
  /** Undefined for a tree without such a file. */
  readonly #folders: TreeFact<string | undefined>;

  constructor(mirror: ObjectStore) {
    this.#mirror = mirror;
    this.#folders = new TreeFact(mirror, {
      decides: ({ path }) => NAME.test(path),
      read: (tree) => this.#write(tree),
    });
  }

  /** Returns the folder with the files of a commit or tree; undefined when it has none. */
  async folderFor(name: string): Promise<string | undefined> {
    const folder = await this.#folders.of(name);
    if (folder === undefined || (await isThere(folder))) return folder;
    // The folder is gone because the mirror was rebuilt.
    this.#folders.forget();
    return this.#folders.of(name);
  }

  async #write(tree: string): Promise<string | undefined> {
    const entries = await listTree(this.#mirror, tree);
    const files = entries.filter(({ path, mode }) => NAME.test(path) && mode.startsWith('100'));
    if (files.length === 0) return undefined;
    const name = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 32);
    const folder = join(scratchOf(this.#mirror.dir), 'attributes', name);
    if (!(await isThere(folder))) await this.#writeAll(folder, files);
    return folder;
  }

  async #writeAll(folder: string, files: readonly TreeEntry[]): Promise<void> {
    const half = `${folder}.${randomUUID()}`;
    for (const { path, blob } of files) {
      const file = Buffer.concat([Buffer.from(`${half}/`), pathToBytes(path)]);
      await mkdir(Buffer.from(dirname(file.toString('latin1')), 'latin1'), { recursive: true });
      await writeFile(file, (await this.#mirror.longLived.content(blob))!.content);
    }
    // Another process may have written the folder first; its files are the same.
    await rename(half, folder).catch(() => removeTree(half));
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
