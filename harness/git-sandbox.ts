import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { treeFromFiles } from '../src/git/build-tree.ts';
import { Mirror } from '../src/git/mirror.ts';
import { Git } from '../src/git/run-git.ts';
import { writeCommit } from '../src/git/write-commit.ts';
import { runChild } from '../src/lib/process.ts';

/** `null` removes a file. */
export type Files = Readonly<Record<string, string | Buffer | { link: string } | { executable: string } | null>>;

export const GREEN_POLICY = { gates: [{ name: 'check', command: ['true'] }] };

/** A bare remote, an author's clone of it, and a mirror: real git in a folder of its own. */
export class GitSandbox {
  readonly folder: string;
  readonly remote: string;
  readonly clone: string;
  readonly mirror: Mirror;

  private constructor(folder: string) {
    this.folder = folder;
    this.remote = join(folder, 'remote.git');
    this.clone = join(folder, 'clone');
    const git = new Git({ home: join(folder, 'git-home'), searchPath: process.env.PATH! });
    this.mirror = new Mirror({ git, root: join(folder, 'mirrors'), url: this.remote });
  }

  static async create(
    files: Files = {},
    policy: object | null = GREEN_POLICY,
    objectFormat: 'sha1' | 'sha256' = 'sha1',
  ): Promise<GitSandbox> {
    const sandbox = new GitSandbox(await mkdtemp(join(tmpdir(), 'sluice-test-git-')));
    // Tools may run as another user and read files that tests put here.
    await chmod(sandbox.folder, 0o755);
    const init = ['init', '--quiet', '--bare', `--object-format=${objectFormat}`, '--initial-branch=main'];
    await sandbox.git([...init, sandbox.remote], sandbox.folder);
    // Not `git clone`: a clone of an empty repository would use SHA-1.
    const format = `--object-format=${objectFormat}`;
    await sandbox.git(['init', '--quiet', format, '--initial-branch=main', sandbox.clone], sandbox.folder);
    await sandbox.git(['remote', 'add', 'origin', sandbox.remote]);
    const policyFile: Files = policy === null ? {} : { '.sluice.yaml': stringify(policy) };
    await sandbox.push({ 'README.md': '# sandbox\n', ...policyFile, ...files });
    return sandbox;
  }

  async git(args: readonly string[], cwd = this.clone): Promise<string> {
    const { ending, stdout, stderr } = await runChild({
      argv: ['git', ...args],
      cwd,
      env: AUTHOR,
      timeoutMs: 30_000,
      maxCapturedBytes: 64 * 1024 * 1024,
    });
    if (ending.kind === 'exited' && ending.exitCode === 0) return stdout.toString('utf8').trimEnd();
    throw new Error(`git ${args.join(' ')}: ${stderr.toString('utf8')}`);
  }

  /** Commits in the author's clone on top of the remote's branch, pushes, and returns the commit. */
  async push(files: Files, message = 'change'): Promise<string> {
    await this.git(['fetch', '--quiet']);
    if ((await this.git(['branch', '--remotes'])) !== '') await this.git(['reset', '--quiet', '--hard', 'origin/main']);
    await this.write(files);
    await this.git(['add', '--all', '--force']);
    await this.git(['commit', '--quiet', '--allow-empty', '--message', message]);
    await this.git(['push', '--quiet', 'origin', 'HEAD:main']);
    return this.git(['rev-parse', 'HEAD']);
  }

  /** Makes a git patch on the remote's current branch. The clone is left unchanged. */
  async diffOf(files: Files): Promise<string> {
    await this.git(['fetch', '--quiet']);
    await this.git(['reset', '--quiet', '--hard', 'origin/main']);
    await this.write(files);
    await this.git(['add', '--all', '--force']);
    const diff = await this.git(['diff', '--cached', '--binary', '--no-renames']);
    await this.git(['reset', '--quiet', '--hard']);
    return `${diff}\n`;
  }

  async write(files: Files, folder = this.clone): Promise<void> {
    for (const [path, content] of Object.entries(files)) {
      const file = join(folder, path);
      await rm(file, { recursive: true, force: true });
      if (content === null) continue;
      await mkdir(dirname(file), { recursive: true });
      if (typeof content === 'object' && 'link' in content) await symlink(content.link, file);
      else if (typeof content === 'object' && 'executable' in content) {
        await writeFile(file, content.executable);
        await chmod(file, 0o755);
      } else await writeFile(file, content);
    }
  }

  /** Makes a commit in the mirror that no branch holds. */
  async commitOn(base: string, files: Files): Promise<{ commit: string; tree: string }> {
    const inline = Object.entries(files).map(([path, content]) =>
      content === null ? { path, delete: true as const } : { path, content: String(content) },
    );
    const built = await treeFromFiles(this.mirror, { base, files: inline });
    if (!built.ok) throw new Error(built.words);
    const [author, when] = [{ name: 'Ada', email: 'ada@example.com' }, '2026-01-01T00:00:00Z'];
    const people = { author, authoredAt: when, committer: author, committedAt: when };
    const commit = await writeCommit(this.mirror, { tree: built.tree, parent: base, message: 'm', ...people });
    return { commit, tree: built.tree };
  }

  tip(): Promise<string> {
    return this.git(['rev-parse', 'main'], this.remote);
  }

  async subjects(): Promise<string[]> {
    return (await this.git(['log', '--reverse', '--format=%s', 'main'], this.remote)).split('\n');
  }

  read(path: string, commit = 'main'): Promise<string> {
    return this.git(['show', `${commit}:${path}`], this.remote);
  }

  async remove(): Promise<void> {
    this.mirror.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

const AUTHOR = {
  PATH: process.env.PATH!,
  HOME: '/nonexistent',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.com',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
};
