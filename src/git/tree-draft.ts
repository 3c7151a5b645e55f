import { SluiceError } from '../contract/errors.ts';
import type { Mirror } from './mirror.ts';
import { listTree, type TreeEntry } from './tree-changes.ts';
import { treeWithEntries } from './tree-entries.ts';
import { writeObject } from './write-object.ts';

export const MODES = { file: '100644', executable: '100755', link: '120000', submodule: '160000' } as const;

/** A file of a draft: from the original tree, or written since. */
export interface DraftFile {
  mode: string;
  /** Object id; undefined while the content is only in memory. */
  blob: string | undefined;
  content: Buffer | undefined;
}

/** A tree under construction: the files of a commit, with some written, replaced or removed in memory. */
export class TreeDraft {
  readonly #mirror: Mirror;
  readonly #tree: string;
  readonly #base: ReadonlyMap<string, TreeEntry>;
  /** Null for a removed path. */
  readonly #changed: Map<string, DraftFile | null>;
  #folders: Set<string> | undefined;

  private constructor(parts: {
    mirror: Mirror;
    tree: string;
    base: ReadonlyMap<string, TreeEntry>;
    changed: Map<string, DraftFile | null>;
  }) {
    this.#mirror = parts.mirror;
    this.#tree = parts.tree;
    this.#base = parts.base;
    this.#changed = parts.changed;
  }

  static async of(mirror: Mirror, commit: string): Promise<TreeDraft> {
    const base = new Map((await listTree(mirror, commit)).map((entry) => [entry.path, entry]));
    return new TreeDraft({ mirror, tree: commit, base, changed: new Map() });
  }

  /** Returns a draft with the same files that can be changed independently. */
  copy(): TreeDraft {
    return new TreeDraft({ mirror: this.#mirror, tree: this.#tree, base: this.#base, changed: new Map(this.#changed) });
  }

  find(path: string): DraftFile | undefined {
    const changed = this.#changed.get(path);
    if (changed !== undefined) return changed ?? undefined;
    const entry = this.#base.get(path);
    return entry === undefined ? undefined : { mode: entry.mode, blob: entry.blob, content: undefined };
  }

  /** True when the commit that the draft started from has files in this folder. */
  hadFolder(path: string): boolean {
    this.#folders ??= new Set([...this.#base.keys()].flatMap(foldersAbove));
    return this.#folders.has(path);
  }

  /** Returns the content of a file or the target of a link. Throws `git.failed` when there is none. */
  async read(path: string): Promise<Buffer> {
    const file = this.find(path);
    if (file?.content !== undefined) return file.content;
    const found = file?.blob === undefined ? undefined : await this.#mirror.longLived.content(file.blob);
    if (found?.type !== 'blob') throw new SluiceError('git.failed', `there is no content for ${JSON.stringify(path)}`);
    return found.content;
  }

  write(path: string, { mode, content }: { mode: string; content: Buffer }): void {
    this.#changed.set(path, { mode, content, blob: undefined });
  }

  /** Puts an object that exists in the repository at a path. */
  place(path: string, { mode, blob }: { mode: string; blob: string }): void {
    this.#changed.set(path, { mode, blob, content: undefined });
  }

  remove(path: string): void {
    this.#changed.set(path, null);
  }

  /** Paths that were written or removed, even when their content did not change. */
  touched(): string[] {
    return [...this.#changed.keys()];
  }

  /** Returns a written path that collides with a folder or a file; git would silently drop one of the two. */
  collision(): string | undefined {
    const written = [...this.#changed].filter(([, file]) => file !== null).map(([path]) => path);
    const staying = new Set([...this.#base.keys(), ...written].filter((path) => this.#changed.get(path) !== null));
    const folders = new Set([...staying].flatMap(foldersAbove));
    return written.find((path) => folders.has(path) || foldersAbove(path).some((folder) => staying.has(folder)));
  }

  /** Writes the contents and the tree. Throws `path.refused` for a name that git does not accept. */
  async toTree(): Promise<string> {
    const entries: TreeEntry[] = [];
    for (const [path, file] of this.#changed) {
      if (file === null && !this.#base.has(path)) continue;
      entries.push(file === null ? { mode: '0', blob: '', path } : await this.#entry(path, file));
    }
    return treeWithEntries(this.#mirror, { tree: this.#tree, entries });
  }

  async #entry(path: string, { mode, blob, content }: DraftFile): Promise<TreeEntry> {
    return { mode, blob: blob ?? (await writeObject(this.#mirror, 'blob', content!)), path };
  }
}

export function foldersAbove(path: string): string[] {
  const folders: string[] = [];
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1))
    folders.push(path.slice(0, slash));
  return folders;
}
