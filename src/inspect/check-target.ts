import { readPolicy } from '../candidates/read-policy.ts';
import type { TargetCheckObject } from '../contract/answers.ts';
import { SluiceError } from '../contract/errors.ts';
import type { TargetDao } from '../dao/target-dao.ts';
import { policyWarnings } from '../domain/policy-warnings.ts';
import type { Mirrors } from '../git/mirrors.ts';
import { listTree } from '../git/tree-changes.ts';

/**
 * Reads the policy at the branch's tip and warns of what it probably does not mean. Throws `entity.not_found`,
 * `repository.unreadable`, `branch.missing`.
 */
export async function checkTarget(
  { targets, mirrors }: { targets: TargetDao; mirrors: Mirrors },
  targetId: string,
): Promise<TargetCheckObject> {
  const target = await targets.find(targetId);
  if (target === undefined) throw new SluiceError('entity.not_found', `there is no target ${targetId}`);
  const mirror = mirrors.of(target.url);
  const tip = await mirror.fetchTip(target.branch);
  const { policy, error } = await readPolicy(mirror, tip.commit);
  const paths = policy === null ? [] : (await listTree(mirror, tip.tree)).map(({ path }) => path);
  const warnings = policy === null ? [] : policyWarnings(policy, paths);
  return { target_id: targetId, tip_commit: tip.commit, policy_error: error, warnings };
}
