import type { Policy } from '../contract/policy.ts';
import { type ChangeFacts, type Refusal, refusalOf } from '../domain/path-rules.ts';
import { holdsSecret } from '../lib/redact.ts';

export interface PatchRules {
  policy: Policy;
  scope: readonly string[] | null;
  /** Values that must not land anywhere. */
  secrets: readonly string[];
  /** True when an operator has waived the approvable rules for exactly this content. */
  approved?: boolean;
}

/** A change to be judged. `texts` are searched for secrets, if they are at hand. */
export interface JudgedChange {
  paths: ChangeFacts['paths'];
  sizeBytes: number;
  binary: boolean;
  /** Everything of the change that the branch would show: the diff, the message, the names. */
  texts?: readonly Buffer[];
  lfsPath?: string | undefined;
  policyError?: string | undefined;
}

/** Judges a well-formed change by scope, protected paths, secrets and limits. */
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
