import type { BreakerObject, PatchObject, RunObject, TargetObject, TaskObject, WorkerObject } from './objects.ts';
import type { TokenScope } from './tokens.ts';

/**
 * An operation on an object. This table defines `POST /v1/<collection>/<id>/<action>`, `sluice <noun> <action>` and a
 * method of the client. Every call is recorded with its reason.
 */
export interface Action {
  scope: TokenScope;
  body: keyof ActionBodies;
  answer: keyof ActionAnswers;
  description: string;
}

/** `note`: the reason is optional. The other bodies require one. */
export interface ActionBodies {
  note: { reason?: string | undefined };
  order: { reason: string };
  budget: { reason: string; usd: number };
  priority: { reason: string; priority: number };
}

/** Answers of actions: the object as it is after the action. */
export interface ActionAnswers {
  run: RunObject;
  task: TaskObject;
  patch: PatchObject;
  target: TargetObject;
  worker: WorkerObject;
  breaker: BreakerObject;
}

export const ACTIONS = {
  runs: {
    pause: {
      scope: 'operate',
      body: 'note',
      answer: 'run',
      description: 'Stops dispatching tasks of the run. Running tasks finish, and staged patches still land.',
    },
    resume: { scope: 'operate', body: 'note', answer: 'run', description: 'Continues a paused run.' },
    cancel: {
      scope: 'submit',
      body: 'note',
      answer: 'run',
      description: 'Cancels the run with all its tasks and patches that have not ended.',
    },
    retry: {
      scope: 'operate',
      body: 'order',
      answer: 'run',
      description:
        'Runs every failed task of the run again with its full number of retries. Earlier attempts stay on record.',
    },
    budget: {
      scope: 'operate',
      body: 'budget',
      answer: 'run',
      description: 'Sets the total that the run may cost. Tasks that waited for the budget may start.',
    },
  },
  tasks: {
    cancel: {
      scope: 'submit',
      body: 'note',
      answer: 'task',
      description: 'Cancels the task and the tasks that depend on it.',
    },
    retry: {
      scope: 'operate',
      body: 'order',
      answer: 'task',
      description:
        'Runs a failed or cancelled task again with its full number of retries. Earlier attempts stay on record.',
    },
    budget: {
      scope: 'operate',
      body: 'budget',
      answer: 'task',
      description: 'Sets the total that all attempts of the task may cost.',
    },
  },
  patches: {
    approve: {
      scope: 'operate',
      body: 'order',
      answer: 'patch',
      description:
        'Approves exactly this content: protected paths, limits and the second proof of pinned files no longer stop it.',
    },
    requeue: {
      scope: 'operate',
      body: 'order',
      answer: 'patch',
      description: 'Puts a blocked patch back in the landing queue. Earlier failures with it no longer count.',
    },
    drop: {
      scope: 'operate',
      body: 'order',
      answer: 'patch',
      description: 'Withdraws a patch that has not landed. Its task fails.',
    },
    prioritize: {
      scope: 'operate',
      body: 'priority',
      answer: 'patch',
      description: 'Sets the priority of a waiting patch: higher lands first. Its verdicts stay valid.',
    },
    rollback: {
      scope: 'operate',
      body: 'order',
      answer: 'run',
      description: 'Submits a run that reverts a landed patch, ahead of the landing queue and through the same gates.',
    },
  },
  targets: {
    pause: {
      scope: 'operate',
      body: 'order',
      answer: 'target',
      description: 'Stops landing on the target. Gates still run.',
    },
    resume: {
      scope: 'operate',
      body: 'order',
      answer: 'target',
      description:
        'Resumes landing on the target. Patches that were removed from the branch are recorded as rolled back.',
    },
  },
  workers: {
    drain: {
      scope: 'operate',
      body: 'order',
      answer: 'worker',
      description:
        'Stops the worker from taking work. It finishes what it holds, or hands it back when its drain time is over, and ends.',
    },
  },
  breakers: {
    trip: {
      scope: 'operate',
      body: 'order',
      answer: 'breaker',
      description: 'Stops the tool fleet-wide until an operator resets it. Its tasks wait and use up no retry.',
    },
    reset: {
      scope: 'operate',
      body: 'order',
      answer: 'breaker',
      description: 'Closes the breaker of the tool and sets its count of faults to 0.',
    },
  },
} as const satisfies Record<string, Record<string, Action>>;

export type Collection = keyof typeof ACTIONS;
export type ActionName<C extends Collection> = keyof (typeof ACTIONS)[C] & string;
export type BodyOf<C extends Collection, A extends ActionName<C>> = (typeof ACTIONS)[C][A] extends {
  body: infer B extends keyof ActionBodies;
}
  ? ActionBodies[B]
  : never;
export type AnswerOf<C extends Collection, A extends ActionName<C>> = (typeof ACTIONS)[C][A] extends {
  answer: infer O extends keyof ActionAnswers;
}
  ? ActionAnswers[O]
  : never;

export function allActions(): { collection: Collection; name: string; action: Action }[] {
  return Object.entries(ACTIONS).flatMap(([collection, actions]) =>
    Object.entries<Action>(actions).map(([name, action]) => ({ collection: collection as Collection, name, action })),
  );
}
