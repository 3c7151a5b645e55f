import { GitSandbox } from '../harness/git-sandbox.ts';

/** Green only if no file below `f/` is named `bad…`. */
const GATES = [
  { name: 'green', command: ['sh', '-c', 'sleep 0.1; for f in f/bad*; do test ! -e "$f" || exit 1; done'] },
];

/** The branch that all runs land on. `push` stands for another committer. */
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

  /** Pushes a commit on the tip as another committer would; retries, because the tip may move before the push. */
  async push(name: string): Promise<void> {
    for (let tries = 0; tries < 50; tries += 1) {
      const pushed = await this.#git.push({ [name]: `${name}\n` }, `somebody: ${name}`).then(
        () => true,
        () => false,
      );
      if (pushed) return;
    }
    throw new Error(`${name} could not be pushed`);
  }

  /** Task and patch from the trailers of each commit, oldest first; commits of the other committer have none. */
  async landed(): Promise<{ taskId: string; patchId: string }[]> {
    const value = (key: string) => `%(trailers:key=Sluice-${key},valueonly,separator=%x2C)`;
    const format = `--format=${value('Task')} ${value('Patch')}`;
    const text = await this.#git.git(['log', '--reverse', format, 'main'], this.remote);
    const lines = text.split('\n').map((line) => line.split(' '));
    return lines.flatMap(([taskId = '', patchId = '']) => (patchId === '' ? [] : [{ taskId, patchId }]));
  }

  /** Line counts of the files that tasks made. */
  async lineCounts(): Promise<Map<string, number>> {
    const text = await this.#git.git(['grep', '--count', '', 'main', '--', 'f/*-*'], this.remote);
    return new Map(
      text.split('\n').map((line) => {
        const [, file = '', count] = line.split(':');
        return [file, Number(count)];
      }),
    );
  }

  /** Commits that changed a file which the gate rejects. */
  async redCommits(): Promise<string[]> {
    const text = await this.#git.git(['log', '--format=%H', 'main', '--', 'f/bad*'], this.remote);
    return text === '' ? [] : text.split('\n');
  }

  remove(): Promise<void> {
    return this.#git.remove();
  }
}
