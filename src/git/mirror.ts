import { createHash, randomUUID } from 'node:crypto';
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SluiceError } from '../contract/errors.ts';
import { fullJitterMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import { Ancestry } from './ancestry.ts';
import { LongLivedGit } from './long-lived.ts';
import { OPEN_ACCESS, type RemoteAccess } from './remote-access.ts';
import type { Git, GitAnswer, GitCall } from './run-git.ts';

export interface Tip {
  commit: string;
  tree: string;
}

/**
 * Files in a slot are the blobs, byte for byte, whatever the repository's attributes ask for: a conversion on the way in
 * that is not undone on the way out would be a change that nobody made (docs/decisions/0004).
 */
const EXACT_BYTES = '* -text -eol -ident -filter -working-tree-encoding\n';

const LOCK_RETRIES = 5;
const LOCK_BACKOFF = { baseMs: 20, capMs: 500 };

export interface MirrorOptions {
  git: Git;
  root: string;
  url: string;
  access?: RemoteAccess;
}

/**
 * A bare copy of one remote repository, with our configuration only. Several processes of a machine may share it: objects
 * are only ever added, and a reference that another process holds locked is tried again.
 */
export class Mirror {
  readonly git: Git;
  readonly dir: string;
  readonly url: string;
  readonly longLived: LongLivedGit;
  readonly #access: RemoteAccess;
  readonly #ancestry = new Ancestry();
  readonly #seen = new Map<string, { tip: Tip; atMs: number }>();
  /** Another one each time the mirror was made anew, by whomever: what was known of its objects holds no more. */
  generation = '';
  #making: Promise<void> | undefined;

  constructor({ git, root, url, access: remote = OPEN_ACCESS }: MirrorOptions) {
    this.git = git;
    this.url = url;
    this.dir = join(root, `${createHash('sha256').update(url).digest('hex').slice(0, 24)}.git`);
    this.#access = remote;
    this.longLived = new LongLivedGit(git, this.dir);
  }

  run(call: Omit<GitCall, 'gitDir'>): Promise<Buffer> {
    return this.git.run({ ...call, gitDir: this.dir });
  }

  text(call: Omit<GitCall, 'gitDir'>): Promise<string> {
    return this.git.text({ ...call, gitDir: this.dir });
  }

  ask(call: Omit<GitCall, 'gitDir'>) {
    return this.git.ask({ ...call, gitDir: this.dir });
  }

  /** A call that speaks to the remote: with its credentials, and without them in what it says. */
  async askRemote(call: GitCall): Promise<GitAnswer> {
    const env = { ...call.env, ...(await this.#access.environment()) };
    const answer = await this.git.ask({ ...call, env });
    return { ...answer, stderr: this.#access.redact(answer.stderr) };
  }

  /**
   * The branch's commit and tree at the remote now, its objects here; with `maxAgeMs` what was seen so long ago will do.
   * `branch.missing`, `repository.unreadable`.
   */
  async fetchTip(branch: string, { maxAgeMs = 0 }: { maxAgeMs?: number } = {}): Promise<Tip> {
    const seen = this.#seen.get(branch);
    if (seen !== undefined && performance.now() - seen.atMs < maxAgeMs) return seen.tip;
    const atMs = performance.now();
    const tip = await this.#lookAtTip(branch);
    this.#seen.set(branch, { tip, atMs });
    return tip;
  }

  async #lookAtTip(branch: string): Promise<Tip> {
    await this.ensure();
    const commit = await this.#remoteTip(branch);
    if ((await this.#fetchedTip(branch)) === commit) return { commit, tree: await this.treeOf(commit) };
    await this.#fetch(branch);
    // Somebody may have pushed between the question and the fetch: what was brought is the tip.
    const fetched = (await this.#fetchedTip(branch)) ?? commit;
    return { commit: fetched, tree: await this.treeOf(fetched) };
  }

  /** Makes the mirror if it is not there (any more). A half-made one has another name. */
  async ensure(): Promise<void> {
    let generation = await this.#generationHere();
    if (generation === undefined) {
      this.#making ??= this.#make().finally(() => {
        this.#making = undefined;
      });
      await this.#making;
      generation = (await this.#generationHere()) ?? '';
    }
    if (generation === this.generation) return;
    this.generation = generation;
    this.longLived.close();
    this.#seen.clear();
  }

  /** Undefined when there is no mirror. */
  #generationHere(): Promise<string | undefined> {
    return readFile(join(this.dir, 'sluice-tmp', 'generation'), 'utf8').catch(() => undefined);
  }

  async has(commit: string): Promise<boolean> {
    return (await this.longLived.info(`${commit}^{commit}`)) !== undefined;
  }

  /** True when `ancestor` is `commit` or lies below it. Both must be here. */
  async isAncestor(ancestor: string, commit: string): Promise<boolean> {
    const known = this.#ancestry.find(ancestor, commit);
    if (known !== undefined) return known;
    const { exitCode, stderr } = await this.ask({ args: ['merge-base', '--is-ancestor', ancestor, commit] });
    // A fault is no answer: taken for a no, it would give up what has landed.
    if (exitCode > 1) throw new SluiceError('git.failed', `git merge-base: ${stderr}`);
    this.#ancestry.note({ ancestor, commit, below: exitCode === 0 });
    return exitCode === 0;
  }

  /** For a commit that was just made: spares the question whether its parent is below it. */
  noteParent(commit: string, parent: string): void {
    this.#ancestry.noteParent(commit, parent);
  }

  async treeOf(commit: string): Promise<string> {
    const tree = await this.longLived.info(`${commit}^{tree}`);
    if (tree === undefined) throw new SluiceError('git.failed', `there is no commit ${commit}`);
    return tree.id;
  }

  /** Content of a file in a commit; undefined when there is none (or no plain file). */
  async readFile(commit: string, path: string): Promise<Buffer | undefined> {
    const found = await this.longLived.content(`${commit}:${path}`);
    return found?.type === 'blob' ? found.content : undefined;
  }

  /** Looks whether all of what the branches need is here and whole; if not, throws it away. True when it did. */
  async mend(): Promise<boolean> {
    const args = ['fsck', '--connectivity-only', '--no-dangling', '--no-progress'];
    // One that does not end says nothing.
    const { exitCode } = await this.ask({ args }).catch(() => ({ exitCode: 0 }));
    if (exitCode === 0) return false;
    this.longLived.close();
    this.#seen.clear();
    const aside = `${this.dir}.${randomUUID()}`;
    await rename(this.dir, aside).catch(() => {});
    await rm(aside, { recursive: true, force: true });
    return true;
  }

  close(): void {
    this.longLived.close();
  }

  /** Runs `use` with the path of a private index that is removed afterwards. */
  async withIndex<T>(use: (indexFile: string) => Promise<T>): Promise<T> {
    const indexFile = join(this.dir, 'sluice-tmp', `index-${randomUUID()}`);
    try {
      return await use(indexFile);
    } finally {
      await rm(indexFile, { force: true });
      await rm(`${indexFile}.lock`, { force: true });
    }
  }

  async #make(): Promise<void> {
    const marks = join(this.dir, 'sluice-tmp');
    if (await isThere(marks)) {
      // Another process was faster, or an older Sluice made it, which gave it no name.
      await writeFile(join(marks, 'generation'), randomUUID(), { flag: 'wx' }).catch(() => {});
      return;
    }
    const half = `${this.dir}.${randomUUID()}`;
    await mkdir(join(half, '..'), { recursive: true });
    await this.git.run({ args: ['init', '--bare', '--quiet', half] });
    await writeFile(join(half, 'info', 'attributes'), EXACT_BYTES);
    await mkdir(join(half, 'sluice-tmp'));
    await writeFile(join(half, 'sluice-tmp', 'generation'), randomUUID());
    try {
      await rename(half, this.dir);
    } catch {
      // Another process was faster: its mirror is as good.
      await rm(half, { recursive: true, force: true });
    }
  }

  /** What the last whole fetch of the branch brought. A commit object alone proves nothing: its trees may be missing. */
  async #fetchedTip(branch: string): Promise<string | undefined> {
    return (await this.longLived.info(`${trackingRef(branch)}^{commit}`))?.id;
  }

  async #remoteTip(branch: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.askRemote({
      args: ['ls-remote', '--exit-code', '--', this.url, `refs/heads/${branch}`],
    });
    // The pattern matches tails too: a branch named `a/refs/heads/main` must not speak for `main`.
    const lines = stdout
      .toString()
      .split('\n')
      .map((line) => line.split('\t'));
    const commit = lines.find(([, name]) => name === `refs/heads/${branch}`)?.[0];
    if (exitCode === 0 && commit !== undefined) return commit;
    if (exitCode === 2 || exitCode === 0) {
      throw new SluiceError('branch.missing', `the repository has no branch ${branch}`, { facts: { branch } });
    }
    throw new SluiceError('repository.unreadable', `the repository cannot be read: ${tellingLine(stderr)}`, {
      facts: { stderr },
    });
  }

  async #fetch(branch: string): Promise<void> {
    const refspec = `+refs/heads/${branch}:${trackingRef(branch)}`;
    const args = [
      'fetch',
      '--quiet',
      '--no-tags',
      '--no-write-fetch-head',
      '--no-recurse-submodules',
      '--',
      this.url,
      refspec,
    ];
    for (let tries = 1; ; tries += 1) {
      const { exitCode, stderr } = await this.askRemote({ args, gitDir: this.dir, timeoutMs: 15 * 60_000 });
      if (exitCode === 0) return;
      if (tries >= LOCK_RETRIES || !/cannot lock ref|unable to update local ref|\.lock/.test(stderr)) {
        throw new SluiceError('repository.unreadable', `the branch cannot be fetched: ${tellingLine(stderr)}`, {
          facts: { stderr },
        });
      }
      await sleep(fullJitterMs(LOCK_BACKOFF, tries));
    }
  }
}

export interface MirrorsOptions {
  git: Git;
  root: string;
  accessTo?: (url: string) => RemoteAccess;
}

/** The mirrors of one process, one a url. */
export class Mirrors {
  readonly #options: MirrorsOptions;
  readonly #byUrl = new Map<string, Mirror>();

  constructor(options: MirrorsOptions) {
    this.#options = options;
  }

  of(url: string): Mirror {
    let mirror = this.#byUrl.get(url);
    if (mirror === undefined) {
      const { git, root, accessTo } = this.#options;
      mirror = new Mirror({ git, root, url, access: accessTo?.(url) });
      this.#byUrl.set(url, mirror);
    }
    return mirror;
  }

  close(): void {
    for (const mirror of this.#byUrl.values()) mirror.close();
  }
}

function trackingRef(branch: string): string {
  return `refs/sluice/heads/${branch}`;
}

function tellingLine(words: string): string {
  const lines = words.split('\n').filter((line) => line.trim() !== '');
  return lines.find((line) => line.startsWith('fatal:')) ?? lines.at(-1) ?? 'no words from git';
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
