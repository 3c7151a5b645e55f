import { WAITS_FOR_APPROVAL } from './path-rules.ts';

/** A change that is announced to webhooks. */
export interface Change {
  kind: string;
  to_state: string;
  from_state: string | null;
  reason: string | null;
}

/** Types whose name is not `<kind>.<state>`. */
const NAMES: Readonly<Record<string, string>> = {
  'breaker.open': 'breaker.opened',
  'patch.verified': 'patch.landed',
};

/**
 * Returns the types of event that a change is announced as: none for a note on an object whose state stays, two for a
 * patch that waits for an approval.
 */
export function eventTypesOf({ kind, from_state, to_state, reason }: Change): string[] {
  if (from_state === to_state) return [];
  const name = `${kind}.${to_state.toLowerCase()}`;
  const type = NAMES[name] ?? name;
  const needsApproval = type === 'patch.quarantined' && reason === WAITS_FOR_APPROVAL;
  return needsApproval ? [type, 'approval.needed'] : [type];
}

/** True when a pattern such as `run.*`, `patch.blocked` or `*` names the type. */
export function announces(pattern: string, type: string): boolean {
  if (pattern === '*') return true;
  return pattern.endsWith('.*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern;
}
