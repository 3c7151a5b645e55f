import type { PatchState } from '../../contract/states.ts';

export const PATCH_EDGES = {
  PENDING: ['VALIDATING', 'SUPERSEDED', 'EXPIRED'],
  VALIDATING: ['STAGED', 'QUARANTINED', 'SUPERSEDED', 'EXPIRED'],
  STAGED: ['APPLIED', 'BLOCKED', 'QUARANTINED', 'SUPERSEDED', 'EXPIRED'],
  BLOCKED: ['STAGED', 'QUARANTINED', 'SUPERSEDED', 'EXPIRED'],
  QUARANTINED: ['VALIDATING', 'SUPERSEDED', 'EXPIRED'],
  APPLIED: ['VERIFIED', 'ROLLED_BACK'],
  VERIFIED: ['ROLLED_BACK'],
  ROLLED_BACK: [],
  SUPERSEDED: [],
  EXPIRED: [],
} as const satisfies Record<PatchState, readonly PatchState[]>;

/** States that a patch leaves by itself. The others last until an operator or another patch changes them. */
export const MOVING_PATCH_STATES = [
  'PENDING',
  'VALIDATING',
  'STAGED',
  'APPLIED',
] as const satisfies readonly PatchState[];

export function isMoving(state: PatchState): boolean {
  return (MOVING_PATCH_STATES as readonly PatchState[]).includes(state);
}

/** States of a patch that is not on the branch and may still be replaced, dropped or expired. */
export const UNLANDED_PATCH_STATES = [
  'PENDING',
  'VALIDATING',
  'QUARANTINED',
  'STAGED',
  'BLOCKED',
] as const satisfies readonly PatchState[];
