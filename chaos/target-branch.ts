import { GitSandbox } from '../test/support/git-sandbox.ts';

/** Green exactly while no file below `f/` is called `bad…`. */
const GATES = [
  { name: 'green', command: ['sh', '-c', 'sleep 0.1; for f in f/bad*; do test ! -e "$f" || exit 1; done'] },
];

/** The branch that everything lands on, and somebody else who pushes there as well. */
export class TargetBranch {
  readonly #git: GitSandbox;

  private constructor(git: GitSandbox) {
    this.#git = git;
  }

  static async create(): Promise<TargetBranch> {
    return new TargetBranch(await GitSandbox.create({ 'f/.keep': '' }, { gates: GATES, landing: { slots: 4 } }));
  }

  get remote(): string {
    return this.#git.remote;
  }

  /** Somebody pushes a commit of their own on whatever the tip is; between their look and their push it may have moved. */
  async push(name: string): Promise<void> {
    for (let tries = 0; tries < 5; tries += 1) {
      const pushed = await this.#git.push({ [name]: `${name}\n` }, `somebody: ${name}`).then(
        () => true,
        () => false,
      );
      if (pushed) return;
    }
  }

  /** The patch that each commit of the branch says it is, oldest first; those of others say none. */
  async landedPatches(): Promise<string[]> {
    const format = '--format=%(trailers:key=Sluice-Patch,valueonly,separator=%x2C)';
    const text = await this.#git.git(['log', '--reverse', format, 'main'], this.remote);
    return text.split('\n').filter((patchId) => patchId !== '');
  }

  async files(): Promise<string[]> {
    return (await this.#git.git(['ls-tree', '-r', '--name-only', 'main'], this.remote)).split('\n');
  }

  /** Commits that ever brought a file which the gate refuses. */
  async redCommits(): Promise<string[]> {
    const text = await this.#git.git(['log', '--format=%H', 'main', '--', 'f/bad*'], this.remote);
    return text === '' ? [] : text.split('\n');
  }

  remove(): Promise<void> {
    return this.#git.remove();
  }
}
