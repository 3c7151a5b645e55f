import { createHash, randomUUID } from 'node:crypto';
import { access, mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToBytes } from '../lib/byte-path.ts';
import { removeTree } from '../lib/remove-tree.ts';
import type { Mirror } from './mirror.ts';
import { scratchOf } from './mirror-folder.ts';
import { changedPaths, listTree, type TreeEntry } from './tree-changes.ts';

const NAME = /(^|\/)\.gitattributes$/;
const MAX_KNOWN = 5_000;

/**
 * The merge attributes (`-merge`, `binary`, `merge=union`) that a commit's `.gitattributes` files set. git reads them from a
 * work tree only, so they are written to a folder of their own, one for each different set.
 */
export class MergeAttributes {
  readonly #mirror: Mirror;
  /** By tree; undefined: it has no such file. */
  readonly #folders = new Map<string, string | undefined>();
  #last: string | undefined;

  constructor(mirror: Mirror) {
    this.#mirror = mirror;
  }

  /** The folder with the files of a commit, or undefined when it has none. */
  async folderFor(commit: string): Promise<string | undefined> {
    const tree = await this.#mirror.treeOf(commit);
    if (!this.#folders.has(tree)) {
      if (this.#folders.size > MAX_KNOWN) this.#folders.clear();
      this.#folders.set(tree, (await this.#likeLast(tree)) ?? (await this.#write(tree)));
    }
    this.#last = tree;
    const folder = this.#folders.get(tree);
    // Maintenance or a mirror that was made anew may have removed it.
    return folder === undefined || (await isThere(folder)) ? folder : this.#write(tree);
  }

  /** Most trees differ from the one before in other files: a comparison costs no process. */
  async #likeLast(tree: string): Promise<string | undefined> {
    const last = this.#last;
    if (last === undefined || this.#folders.get(last) === undefined) return undefined;
    const differing = await changedPaths(this.#mirror, last, tree).catch(() => undefined);
    return differing?.some(({ path }) => NAME.test(path)) === false ? this.#folders.get(last) : undefined;
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
    // Another process may have been faster: its files are the same.
    await rename(half, folder).catch(() => removeTree(half));
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
