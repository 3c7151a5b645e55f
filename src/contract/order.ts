import type { PersonsReason } from './reasons.ts';

/** Parts of Sluice that change states, as the audit trail names them. `reconciler` marks repairs. */
export const ACTORS = [
  'breaker',
  'budget',
  'check-patch',
  'coordinator',
  'dispatcher',
  'ledger',
  'patch-expiry',
  'queue-timeout',
  'reconciler',
  'roll-up',
  'scheduler',
  'supervisor',
  'worker',
] as const;

/** The holder of a token, by its name and id. */
declare const OF_CALLER: unique symbol;
export type CallerName = string & { readonly [OF_CALLER]: true };
export type Actor = (typeof ACTORS)[number] | CallerName;

/** The order of a person or a program to do something to one object. Both parts are kept in the audit trail. */
export interface Order {
  actor: string;
  reason: string;
}

/** Takes the words of an order for the audit trail as they are: its actor is no part of Sluice, its reason no name of ours. */
export function signed<Given extends { actor: string; reason?: string | undefined }>(
  order: Given,
): { actor: CallerName; reason: Given['reason'] extends string ? PersonsReason : PersonsReason | undefined } {
  return { actor: order.actor as CallerName, reason: order.reason as never };
}
