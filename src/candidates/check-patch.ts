import type { Policy } from '../contract/policy.ts';
import { type ChangeFacts, type Refusal, refusalOf } from '../domain/path-rules.ts';

export interface PatchRules {
  policy: Policy;
  scope: readonly string[] | null;
  /** True when an operator has waived the approvable rules for exactly this content. */
  approved?: boolean;
}

/** A change to be judged. */
export interface JudgedChange {
  paths: ChangeFacts['paths'];
  sizeBytes: number;
  binary: boolean;
  /** True when the diff, the message, a name or a new file holds a secret of the tool. */
  holdsSecret: boolean;
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
    holdsSecret: change.holdsSecret,
  };
  return refusalOf(facts, { ...rules, approved: rules.approved ?? false });
}
