import { SluiceError } from '../contract/errors.ts';
import type { Mirror } from './mirror.ts';

export type PushAnswer =
  | { kind: 'pushed' }
  /** The branch is not at the expected commit because another client pushed. */
  | { kind: 'moved' }
  /** The remote refuses the push; a retry will not help. `words` holds the remote's message. */
  | { kind: 'refused'; words: string }
  /** The outcome is unknown: the caller must look at the branch to settle it. */
  | { kind: 'unknown'; words: string };

/**
 * Moves the branch from `oldTip` to `newCommit`, if it still is at `oldTip`. A lease alone would also let a
 * non-fast-forward through, so ancestry is asserted first.
 */
export async function pushByCompareAndSwap(
  mirror: Mirror,
  { branch, oldTip, newCommit }: { branch: string; oldTip: string; newCommit: string },
): Promise<PushAnswer> {
  if (!(await mirror.isAncestor(oldTip, newCommit))) {
    throw new SluiceError('internal.error', 'refused a push that is not a fast-forward', {
      facts: { branch, oldTip, newCommit },
    });
  }
  const ref = `refs/heads/${branch}`;
  const { exitCode, stdout, stderr } = await mirror.askRemote({
    args: [
      'push',
      '--porcelain',
      '--no-verify',
      `--force-with-lease=${ref}:${oldTip}`,
      '--',
      mirror.url,
      `${newCommit}:${ref}`,
    ],
    timeoutMs: 5 * 60_000,
  });
  if (exitCode === 0) return { kind: 'pushed' };
  const line =
    stdout
      .toString('utf8')
      .split('\n')
      .find((text) => text.startsWith('!')) ?? '';
  if (/stale info|fetch first|non-fast-forward|failed to update ref|cannot lock ref|incorrect old value/.test(line)) {
    return { kind: 'moved' };
  }
  if (/\[(remote )?rejected\]/.test(line))
    return { kind: 'refused', words: `${line.slice(1).trim()}\n${stderr}`.trim() };
  return { kind: 'unknown', words: stderr };
}
