import { assertSupported, readPolicy } from '../../candidates/read-policy.ts';
import { SluiceError } from '../../contract/errors.ts';
import type { Policy } from '../../contract/policy.ts';
import type { Mirror } from '../../git/mirror.ts';
import type { ClaimedTask } from '../../ledger/attempts/claims.ts';
import { poll } from '../../lib/clock.ts';

export interface TaskBase {
  commit: string;
  policy: Policy;
}

const DEPENDENCY_LIMIT_MS = 30_000;

/**
 * Returns the commit that a task starts from: the tip, once it contains every landed dependency. Throws
 * `repository.unreadable` (retryable) if that takes longer than `DEPENDENCY_LIMIT_MS`, `policy.invalid` when the policy
 * there is missing or broken.
 */
export async function resolveBase(mirror: Mirror, task: ClaimedTask, signal: AbortSignal): Promise<TaskBase> {
  const commit = await poll(
    async () => {
      const tip = await mirror.fetchTip(task.branch);
      const contained = await Promise.all(task.dependency_commits.map((landed) => mirror.contains(tip.commit, landed)));
      return contained.every((yes) => yes) ? tip.commit : undefined;
    },
    { everyMs: 500, limitMs: DEPENDENCY_LIMIT_MS, signal },
  );
  if (commit === undefined) {
    throw new SluiceError(
      'repository.unreadable',
      'the branch does not contain the landed commits that the task depends on',
      {
        retryable: true,
        facts: { dependency_commits: task.dependency_commits },
      },
    );
  }
  const { policy, error } = await readPolicy(mirror, commit);
  if (policy === null) throw new SluiceError('policy.invalid', error);
  await assertSupported(mirror, commit);
  return { commit, policy };
}
