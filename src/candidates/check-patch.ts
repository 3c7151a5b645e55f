import type { Policy } from '../contract/policy.ts';
import { type ChangeFacts, type Refusal, refusalOf } from '../domain/path-rules.ts';
import { holdsSecret } from '../lib/redact.ts';

export interface PatchRules {
  policy: Policy;
  scope: readonly string[] | null;
  /** Values that must not land anywhere. */
  secrets: readonly string[];
  /** An operator let exactly this content pass the rules that may be waived. */
  approved?: boolean;
}

/** What there is to judge; the bytes are looked through for secrets where they are at hand. */
export interface JudgedChange {
  paths: ChangeFacts['paths'];
  sizeBytes: number;
  binary: boolean;
  /** All that would be seen of it on the branch: the change, the message, the names. */
  texts?: readonly Buffer[];
  lfsPath?: string | undefined;
  policyError?: string | undefined;
}

/** Stage: format is known to be good by now; scope, protected paths, secrets and limits are judged here. */
export function checkPatch(change: JudgedChange, rules: PatchRules): Refusal | undefined {
  const facts: ChangeFacts = {
    paths: change.paths,
    sizeBytes: change.sizeBytes,
    binary: change.binary,
    lfsPath: change.lfsPath,
    policyError: change.policyError,
    holdsSecret: (change.texts ?? []).some((text) => holdsSecret(rules.secrets, text)),
  };
  return refusalOf(facts, { ...rules, approved: rules.approved ?? false });
}
