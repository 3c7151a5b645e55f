const MAX_COMMITS_KNOWN = 10_000;

/** Remembers which commits are ancestors of which. The relation never changes, so entries are dropped only for room. */
export class Ancestry {
  readonly #parents = new Map<string, string>();
  readonly #answers = new Map<string, boolean>();

  /** Walks the known parents of `commit`, and uses a remembered answer for any commit on the way. */
  find(ancestor: string, commit: string): boolean | undefined {
    for (let at: string | undefined = commit; at !== undefined; at = this.#parents.get(at)) {
      if (at === ancestor) return true;
      const answer = this.#answers.get(`${ancestor} ${at}`);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  note({ ancestor, commit, below }: { ancestor: string; commit: string; below: boolean }): void {
    if (this.#answers.size >= MAX_COMMITS_KNOWN) this.#answers.clear();
    this.#answers.set(`${ancestor} ${commit}`, below);
  }

  noteParent(commit: string, parent: string): void {
    if (this.#parents.size >= MAX_COMMITS_KNOWN) this.#parents.clear();
    this.#parents.set(commit, parent);
  }
}
