const MAX_COMMITS_KNOWN = 10_000;

/** What is known of who lies below whom. It never changes, so it may be remembered for as long as there is room. */
export class Ancestry {
  readonly #parents = new Map<string, string>();
  readonly #answers = new Map<string, boolean>();

  /** By the parents that are known, then by an answer for one of them. */
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
