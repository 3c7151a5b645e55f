import type { Reason } from '../contract/reasons.ts';

/** Reasons that another attempt of the same tool cannot fix: an operator or the repository's owner has to act. */
const NOT_MENDABLE: readonly Reason[] = [
  'no_gate',
  'embedded_repository',
  'not_capturable',
  'unsafe_path',
  'cannot_be_checked_out',
  'submodule_entry',
  'lfs_content',
];

/** True when a tool that is told why its patch was stopped may produce a better one. */
export function isMendable(reason: Reason): boolean {
  return !NOT_MENDABLE.includes(reason);
}
