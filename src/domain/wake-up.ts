import { isTerminal, type Kind, type StateOf } from './lifecycle.ts';

/** Rounds of the scheduler that a change of the ledger gives something to do. */
export const WOKEN_STAGES = ['start-runs', 'dispatch', 'landing', 'roll-up'] as const;
export type WokenStage = (typeof WOKEN_STAGES)[number];

/** Sent after a commit: a stage has something to look at, or the worker that runs this task or gate must end it. */
export type WakeUp = WokenStage | `cancel:${string}`;

/**
 * Stages that a new state concerns. Polls find the same work later, so a missing entry costs time, never work.
 * `from` is undefined for an object that was just created.
 */
export function stagesWokenBy<K extends Kind>(
  kind: K,
  from: StateOf[K] | undefined,
  to: StateOf[K],
): readonly WokenStage[] {
  const ended = isTerminal(kind, to);
  switch (kind) {
    case 'run':
      if (from === undefined) return ['start-runs'];
      return to === 'PAUSED' ? [] : ['dispatch', 'roll-up'];
    case 'workstream':
      return ended ? ['roll-up'] : [];
    case 'task':
      if (ended) return ['dispatch', 'roll-up'];
      // A task that leaves RUNNING frees a slot and a place within the limits of its tool.
      return to === 'QUEUED' || from === 'RUNNING' ? ['dispatch'] : [];
    case 'patch':
      return to === 'STAGED' || from === 'STAGED' || from === 'BLOCKED' ? ['landing'] : [];
    case 'gate':
      if (from === undefined) return ['dispatch'];
      return ended ? ['landing', 'dispatch'] : [];
    case 'worker':
      return from === undefined ? ['dispatch', 'landing', 'roll-up'] : [];
    case 'breaker':
      return from === undefined ? [] : ['dispatch'];
    default:
      return kind satisfies never;
  }
}

export function isStage(wakeUp: WakeUp): wakeUp is WokenStage {
  return (WOKEN_STAGES as readonly string[]).includes(wakeUp);
}

/** The task or gate that a cancel names; undefined for a stage. */
export function cancelledBy(wakeUp: WakeUp): string | undefined {
  return wakeUp.startsWith('cancel:') ? wakeUp.slice('cancel:'.length) : undefined;
}
