import type { ChangedPath } from '../domain/path-rules.ts';
import type { ObjectStore } from './object-store.ts';
import { changedPaths } from './tree-changes.ts';

const MAX_KNOWN = 5_000;

/**
 * Caches, by tree, a fact that depends on a few paths only. Most trees differ from the previous one in other paths; a
 * comparison detects that without a new process, while reading the tree would start one each time.
 */
export class TreeFact<T> {
  readonly #mirror: ObjectStore;
  readonly #decides: (change: ChangedPath) => boolean;
  readonly #read: (tree: string) => Promise<T>;
  readonly #known = new Map<string, T>();
  #last: string | undefined;

  constructor(
    mirror: ObjectStore,
    { decides, read }: { decides: (change: ChangedPath) => boolean; read: (tree: string) => Promise<T> },
  ) {
    this.#mirror = mirror;
    this.#decides = decides;
    this.#read = read;
  }

  /** Accepts a commit or a tree. */
  async of(name: string): Promise<T> {
    const tree = await this.#mirror.treeOf(name);
    if (!this.#known.has(tree)) {
      if (this.#known.size > MAX_KNOWN) this.forget();
      const like = await this.#likeLast(tree);
      this.#known.set(tree, like === undefined ? await this.#read(tree) : this.#known.get(like)!);
    }
    this.#last = tree;
    return this.#known.get(tree)!;
  }

  forget(): void {
    this.#known.clear();
    this.#last = undefined;
  }

  /** Returns the previous tree when no path that decides the fact differs from it. */
  async #likeLast(tree: string): Promise<string | undefined> {
    const last = this.#last;
    if (last === undefined || !this.#known.has(last)) return undefined;
    const differing = await changedPaths(this.#mirror, last, tree).catch(() => undefined);
    return differing === undefined || differing.some(this.#decides) ? undefined : last;
  }
}
