import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runChild } from '../src/lib/process.ts';

/** The branch that everything lands on, and somebody else who pushes there as well. */
export class TargetBranch {
  readonly remote: string;
  readonly #clone: string;

  private constructor(folder: string) {
    this.remote = join(folder, 'remote.git');
    this.#clone = join(folder, 'somebody');
  }

  /** Green exactly while no file below `f/` is called `bad…`. */
  static async create(folder: string): Promise<TargetBranch> {
    const branch = new TargetBranch(folder);
    await branch.#git(folder, ['init', '--quiet', '--bare', '--initial-branch=main', branch.remote]);
    await branch.#git(folder, ['clone', '--quiet', branch.remote, branch.#clone]);
    await branch.#git(branch.#clone, ['checkout', '--quiet', '-B', 'main']);
    const gates = [
      { name: 'green', command: ['sh', '-c', 'sleep 0.1; for f in f/bad*; do test ! -e "$f" || exit 1; done'] },
    ];
    await mkdir(join(branch.#clone, 'f'));
    await writeFile(join(branch.#clone, 'f', '.keep'), '');
    await writeFile(join(branch.#clone, '.sluice.yaml'), JSON.stringify({ gates, landing: { slots: 4 } }));
    await branch.#git(branch.#clone, ['add', '--all', '--force']);
    await branch.#git(branch.#clone, ['commit', '--quiet', '--message', 'begin']);
    await branch.#git(branch.#clone, ['push', '--quiet', 'origin', 'HEAD:main']);
    return branch;
  }

  /** Somebody pushes a commit of their own on whatever the tip is. */
  async push(name: string): Promise<void> {
    for (let tries = 0; tries < 5; tries += 1) {
      await this.#git(this.#clone, ['fetch', '--quiet', 'origin']);
      await this.#git(this.#clone, ['reset', '--quiet', '--hard', 'origin/main']);
      await writeFile(join(this.#clone, name), `${name}\n`);
      await this.#git(this.#clone, ['add', '--all', '--force']);
      await this.#git(this.#clone, ['commit', '--quiet', '--message', `somebody: ${name}`]);
      const pushed = await this.#git(this.#clone, ['push', '--quiet', 'origin', 'HEAD:main']).then(
        () => true,
        () => false,
      );
      if (pushed) return;
    }
  }

  /** Each commit of the branch, oldest first: the patch it says it is, and the files of its tree. */
  async commits(): Promise<{ commit: string; patchId: string | undefined; subject: string }[]> {
    const text = await this.#git(this.remote, [
      'log',
      '--reverse',
      '--format=%H%x09%(trailers:key=Sluice-Patch,valueonly,separator=%x2C)%x09%s',
      'main',
    ]);
    return text.split('\n').map((line) => {
      const [commit, patchId, subject] = line.split('\t');
      return { commit: commit!, patchId: patchId === '' ? undefined : patchId, subject: subject! };
    });
  }

  async files(commit = 'main'): Promise<string[]> {
    return (await this.#git(this.remote, ['ls-tree', '-r', '--name-only', commit])).split('\n');
  }

  /** Commits that ever brought a file which the gate refuses. */
  async redCommits(): Promise<string[]> {
    const text = await this.#git(this.remote, ['log', '--format=%H', 'main', '--', 'f/bad*']);
    return text === '' ? [] : text.split('\n');
  }

  async #git(cwd: string, args: readonly string[]): Promise<string> {
    const env = {
      PATH: process.env.PATH!,
      HOME: '/nonexistent',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_CONFIG_NOSYSTEM: '1',
      ...{ GIT_AUTHOR_NAME: 'Somebody', GIT_AUTHOR_EMAIL: 'somebody@example.com' },
      ...{ GIT_COMMITTER_NAME: 'Somebody', GIT_COMMITTER_EMAIL: 'somebody@example.com' },
    };
    const { ending, stdout, stderr } = await runChild({
      argv: ['git', ...args],
      cwd,
      env,
      timeoutMs: 60_000,
      maxCapturedBytes: 64 * 1024 * 1024,
    });
    if (ending.kind === 'exited' && ending.exitCode === 0) return stdout.toString('utf8').trimEnd();
    throw new Error(`git ${args[0]}: ${stderr.toString('utf8')}`);
  }
}
