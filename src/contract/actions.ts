import type { BreakerObject, PatchObject, RunObject, TargetObject, TaskObject, WorkerObject } from './objects.ts';
import type { TokenScope } from './tokens.ts';

/**
 * What a person or a program may do by hand to an object: `POST /v1/<collection>/<id>/<action>`, `sluice <noun> <action>`
 * and a method of the client, all from this table. Each is on record with its reason.
 */
export interface Action {
  scope: TokenScope;
  body: keyof ActionBodies;
  answer: keyof ActionAnswers;
  description: string;
}

/** `note`: a reason may be given. `order`: it must be. */
export interface ActionBodies {
  note: { reason?: string | undefined };
  order: { reason: string };
  budget: { reason: string; usd: number };
  priority: { reason: string; priority: number };
}

/** By the object that comes back, as it is after the action. */
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
      description: 'Dispatches no more tasks of the run. Running tasks end, and staged patches still land.',
    },
    resume: { scope: 'operate', body: 'note', answer: 'run', description: 'Lets a paused run go on.' },
    cancel: {
      scope: 'submit',
      body: 'note',
      answer: 'run',
      description: 'Ends the run and everything of it that has not ended.',
    },
    retry: {
      scope: 'operate',
      body: 'order',
      answer: 'run',
      description: 'Runs every failed task of the run again, with all its retries. Earlier attempts stay on record.',
    },
    budget: {
      scope: 'operate',
      body: 'budget',
      answer: 'run',
      description: 'Sets what the run may cost from now on. Tasks that waited for a budget go on.',
    },
  },
  tasks: {
    cancel: {
      scope: 'submit',
      body: 'note',
      answer: 'task',
      description: 'Ends the task. Tasks that depend on it are cancelled with it.',
    },
    retry: {
      scope: 'operate',
      body: 'order',
      answer: 'task',
      description: 'Runs a failed or cancelled task again, with all its retries. Earlier attempts stay on record.',
    },
    budget: {
      scope: 'operate',
      body: 'budget',
      answer: 'task',
      description: 'Sets what the attempts of the task may cost together from now on.',
    },
  },
  patches: {
    approve: {
      scope: 'operate',
      body: 'order',
      answer: 'patch',
      description: 'Lets exactly this content pass protected paths, limits and the second proof of pinned files.',
    },
    requeue: {
      scope: 'operate',
      body: 'order',
      answer: 'patch',
      description: 'Puts a blocked patch back in the queue. Earlier failures with it no longer count.',
    },
    drop: {
      scope: 'operate',
      body: 'order',
      answer: 'patch',
      description: 'Gives up a patch that has not landed. The task that waited for it fails.',
    },
    prioritize: {
      scope: 'operate',
      body: 'priority',
      answer: 'patch',
      description: 'Moves a waiting patch in the queue: higher lands first. What is proven stays proven.',
    },
    rollback: {
      scope: 'operate',
      body: 'order',
      answer: 'run',
      description: 'Submits a run that takes a landed patch back, ahead of the queue and through the same gates.',
    },
  },
  targets: {
    pause: {
      scope: 'operate',
      body: 'order',
      answer: 'target',
      description: 'Lands nothing more on the target. Gates still run.',
    },
    resume: {
      scope: 'operate',
      body: 'order',
      answer: 'target',
      description: 'Lets landing go on. Patches that were removed from the branch are recorded as rolled back.',
    },
  },
  workers: {
    drain: {
      scope: 'operate',
      body: 'order',
      answer: 'worker',
      description: 'Lets the worker take no more. It ends what it holds, or hands it back in time, and stops.',
    },
  },
  breakers: {
    trip: {
      scope: 'operate',
      body: 'order',
      answer: 'breaker',
      description: 'Stops the tool fleet-wide until an operator resets it. Its tasks wait and lose no retry.',
    },
    reset: {
      scope: 'operate',
      body: 'order',
      answer: 'breaker',
      description: 'Closes the breaker of the tool and forgets what was counted.',
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

/** Each action with its collection and name, for those that loop over all of them. */
export function allActions(): { collection: Collection; name: string; action: Action }[] {
  return Object.entries(ACTIONS).flatMap(([collection, actions]) =>
    Object.entries<Action>(actions).map(([name, action]) => ({ collection: collection as Collection, name, action })),
  );
}
