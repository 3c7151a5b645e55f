import type { Policy } from '../contract/policy.ts';
import { type ChangeFacts, type Refusal, refusalOf } from '../domain/path-rules.ts';
import type { TreeChange } from '../git/tree-changes.ts';
import { holdsSecret } from '../lib/redact.ts';

export interface PatchRules {
  policy: Policy;
  scope: readonly string[] | null;
  /** Values that must not land anywhere. */
  secrets: readonly string[];
}

/** Stage: format is known to be good by now; scope, protected paths, secrets and limits are judged here. */
export function checkPatch(change: TreeChange, rules: PatchRules): Refusal | undefined {
  const facts: ChangeFacts = {
    paths: change.paths,
    sizeBytes: change.diff.length,
    binary: change.binary,
    holdsSecret: holdsSecret(rules.secrets, change.diff),
  };
  return refusalOf(facts, rules);
}
