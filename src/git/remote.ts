import { createHash } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SluiceError } from '../contract/errors.ts';
import { fullJitterMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import type { ObjectFormat } from './object-store.ts';
import type { RemoteAccess } from './remote-access.ts';
import type { Git, GitAnswer, GitCall } from './run-git.ts';

const LOCK_RETRIES = 5;
const LOCK_BACKOFF = { baseMs: 20, capMs: 500 };
/** git holds the lock of a reference for a moment only; an older lock was left by a git process that died. */
const LOCK_LIMIT_MS = 60_000;
const FETCH_LIMIT_MS = 15 * 60_000;
export const SHA256_LENGTH = 64;

/** The remote repository of a mirror, queried and fetched from with its credentials. */
export class Remote {
  readonly url: string;
  readonly #git: Git;
  readonly #access: RemoteAccess;

  constructor({ git, url, access }: { git: Git; url: string; access: RemoteAccess }) {
    this.url = url;
    this.#git = git;
    this.#access = access;
  }

  /** Runs a call to the remote with its credentials, which are redacted from stderr. */
  async ask(call: GitCall): Promise<GitAnswer> {
    const env = { ...call.env, ...(await this.#access.environment()) };
    const answer = await this.#git.ask({ ...call, env });
    return { ...answer, stderr: this.#access.redact(answer.stderr) };
  }

  /** Returns the commit of a branch. Throws `branch.missing` and `repository.unreadable`. */
  async tipOf(branch: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.ask({
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
    throw unreadable('the repository cannot be read', stderr);
  }

  /**
   * Returns the branches of the remote and the one that its HEAD names (null: none). Throws `repository.unreadable`.
   */
  async branches(): Promise<{ names: string[]; default: string | null }> {
    const { exitCode, stdout, stderr } = await this.ask({
      args: ['ls-remote', '--symref', '--', this.url, 'HEAD', 'refs/heads/*'],
    });
    if (exitCode !== 0) throw unreadable('the repository cannot be read', stderr);
    const lines = stdout.toString().split('\n');
    const head = lines.flatMap((line) => /^ref: refs\/heads\/(.+)\tHEAD$/.exec(line)?.[1] ?? []);
    const names = lines.flatMap((line) => /^[0-9a-f]+\trefs\/heads\/(.+)$/.exec(line)?.[1] ?? []);
    return { names, default: head[0] ?? null };
  }

  /** Returns the object format of the remote; SHA-1 while it has no branch or tag. Throws `repository.unreadable`. */
  async objectFormat(): Promise<ObjectFormat> {
    const { exitCode, stdout, stderr } = await this.ask({ args: ['ls-remote', '--', this.url] });
    if (exitCode !== 0) throw unreadable('the repository cannot be read', stderr);
    return stdout.indexOf('\t') === SHA256_LENGTH ? 'sha256' : 'sha1';
  }

  /** Fetches a branch's objects into a mirror and moves its tracking reference. Throws `repository.unreadable`. */
  async fetch(branch: string, gitDir: string): Promise<void> {
    const options = ['--quiet', '--no-tags', '--no-write-fetch-head', '--no-recurse-submodules'];
    const args = ['fetch', ...options, '--', this.url, `+refs/heads/${branch}:${trackingRef(branch)}`];
    for (let tries = 1; ; tries += 1) {
      const { exitCode, stderr } = await this.ask({ args, gitDir, timeoutMs: FETCH_LIMIT_MS });
      if (exitCode === 0) return;
      if (tries >= LOCK_RETRIES || !/cannot lock ref|unable to update local ref|\.lock/.test(stderr)) {
        throw unreadable('the branch cannot be fetched', stderr);
      }
      await removeDeadLock(join(gitDir, `${trackingRef(branch)}.lock`));
      await sleep(fullJitterMs(LOCK_BACKOFF, tries));
    }
  }
}

async function removeDeadLock(file: string): Promise<void> {
  const stats = await stat(file).catch(() => undefined);
  if (stats !== undefined && Date.now() - stats.mtimeMs > LOCK_LIMIT_MS) await rm(file, { force: true });
}

/**
 * The name is a hash, because the reference of a deleted branch `feature` would block that of `feature/foo` for ever.
 */
export function trackingRef(branch: string): string {
  return `${TRACKING}/${createHash('sha256').update(branch).digest('hex').slice(0, 32)}`;
}

export const TRACKING = 'refs/sluice/heads';

function unreadable(what: string, stderr: string): SluiceError {
  return new SluiceError('repository.unreadable', `${what}: ${tellingLine(stderr)}`, { facts: { stderr } });
}

function tellingLine(words: string): string {
  const lines = words.split('\n').filter((line) => line.trim() !== '');
  return lines.find((line) => line.startsWith('fatal:')) ?? lines.at(-1) ?? 'git printed no message';
}
