import type { z } from 'zod';
import {
  type ActionAnswers,
  type ActionBodies,
  type ActionName,
  type AnswerOf,
  allActions,
  type BodyOf,
  type Collection,
} from '../contract/actions.ts';
import { type ErrorCode, SluiceError } from '../contract/errors.ts';
import * as field from '../contract/fields.ts';
import * as object from '../contract/objects.ts';
import type { Tx } from '../database/database.ts';
import { resetBreaker, tripBreaker } from '../ledger/attempts/breakers.ts';
import { setBudget } from '../ledger/attempts/costs.ts';
import { drainWorker } from '../ledger/fleet/workers.ts';
import { approvePatch, dropPatch, prioritizePatch, requeuePatch } from '../ledger/landing/operate-patches.ts';
import { resumeTarget } from '../ledger/landing/stop-patches.ts';
import { makeTargetKnown, pauseTarget } from '../ledger/landing/targets.ts';
import { cancelRun, cancelTask, pauseRun, resumeRun } from '../ledger/runs/cancel.ts';
import { retryRun, retryTask } from '../ledger/runs/retry.ts';
import { rollBack } from '../pipeline/submit-run/roll-back.ts';
import type { Api, ApiDeps } from './api-deps.ts';
import { assertOwn, type Caller } from './auth.ts';
import { OF_MIRRORS } from './operation.ts';
import { present } from './present.ts';
import { ACTION_BODIES, idParam } from './schemas.ts';

/** One call of an action: the id of the object, the caller, and the fields of the body. */
type Order<Body> = Body & { id: string; actor: string; caller: Caller };
type Perform<C extends Collection, A extends ActionName<C>> = (
  deps: ApiDeps,
  order: Order<BodyOf<C, A>>,
) => Promise<AnswerOf<C, A>>;

/** How each action of `contract/actions.ts` is carried out. */
const PERFORM: { [C in Collection]: { [A in ActionName<C>]: Perform<C, A> } } = {
  runs: {
    pause: onRun((tx, { id, ...order }) => pauseRun(tx, id, order)),
    resume: onRun((tx, { id, ...order }) => resumeRun(tx, id, order)),
    async cancel(deps, order) {
      assertOwn(order.caller, (await deps.daos.runs.get(order.id)).submitted_by, 'cancelling runs');
      return onRun((tx) => cancelRun(tx, order.id, order))(deps, order);
    },
    retry: onRun((tx, { id, ...order }: Order<ActionBodies['order']>) => retryRun(tx, id, order)),
    budget: onRun((tx, order: Order<ActionBodies['budget']>) => setBudget(tx, 'run', order)),
  },
  tasks: {
    async cancel(deps, order) {
      const { run_id } = await deps.daos.tasks.get(order.id);
      assertOwn(order.caller, (await deps.daos.runs.get(run_id!)).submitted_by, 'cancelling tasks');
      return onTask((tx) => cancelTask(tx, order.id, order))(deps, order);
    },
    retry: onTask((tx, { id, ...order }: Order<ActionBodies['order']>) => retryTask(tx, id, order)),
    budget: onTask((tx, order: Order<ActionBodies['budget']>) => setBudget(tx, 'task', order)),
  },
  patches: {
    approve: onPatch((tx, order: Order<ActionBodies['order']>) => approvePatch(tx, { ...order, patchId: order.id })),
    requeue: onPatch((tx, order: Order<ActionBodies['order']>) => requeuePatch(tx, { ...order, patchId: order.id })),
    drop: onPatch((tx, order: Order<ActionBodies['order']>) => dropPatch(tx, { ...order, patchId: order.id })),
    prioritize: onPatch((tx, order: Order<ActionBodies['priority']>) =>
      prioritizePatch(tx, { ...order, patchId: order.id }),
    ),
    rollback: async (deps, order) => present.run(await rollBack(deps, { ...order, patchId: order.id })),
  },
  targets: {
    pause: onTarget(pauseTarget),
    resume: onTarget(resumeTarget),
  },
  workers: {
    async drain({ ledger, daos }, order) {
      await ledger.write((tx) => drainWorker(tx, { ...order, workerId: order.id }));
      return present.worker(await daos.workers.get(order.id));
    },
  },
  breakers: {
    trip: onBreaker(tripBreaker),
    reset: onBreaker(resetBreaker),
  },
};

const ANSWERS: { [O in keyof ActionAnswers]: z.ZodType<ActionAnswers[O]> } = {
  run: object.runObject,
  task: object.taskObject,
  patch: object.patchObject,
  target: object.targetObject,
  worker: object.workerObject,
  breaker: object.breakerObject,
};

const TAGS: Readonly<Record<Collection, string>> = {
  runs: 'runs',
  tasks: 'tasks',
  patches: 'patches',
  targets: 'fleet',
  workers: 'fleet',
  breakers: 'tools',
};

const NOUNS: Readonly<Record<Collection, string>> = {
  runs: 'Run',
  tasks: 'Task',
  patches: 'Patch',
  targets: 'Target',
  workers: 'Worker',
  breakers: 'Breaker',
};

const OF_ORDERS = ['entity.not_found', 'state.changed'] as const;
const OF_PATCHES = [...OF_ORDERS, 'patch.landing'] as const;
/** Errors of an action, where it has others than most. */
const PROBLEMS: Readonly<Record<string, readonly ErrorCode[]>> = {
  'runs/cancel': [...OF_ORDERS, 'run.landing', 'patch.landing'],
  'tasks/cancel': OF_PATCHES,
  'patches/approve': OF_PATCHES,
  'patches/requeue': OF_PATCHES,
  'patches/drop': OF_PATCHES,
  'patches/prioritize': OF_PATCHES,
  'patches/rollback': [...OF_ORDERS, 'spec.invalid', ...OF_MIRRORS],
  'targets/pause': [...OF_ORDERS, 'repository.not_allowed'],
  'targets/resume': [...OF_ORDERS, 'repository.not_allowed'],
};

/** Actions that create an object answer 201 instead of 200. */
const CREATES = new Set(['patches/rollback']);

/** Registers `POST /v1/<collection>/<id>/<action>` for each action in `contract/actions.ts`. */
export function actionRoutes(api: Api, deps: ApiDeps): void {
  for (const { collection, name, action } of allActions()) {
    const { scope, description } = action;
    const perform = (
      PERFORM[collection] as unknown as Record<string, (deps: ApiDeps, order: object) => Promise<never>>
    )[name]!;
    const status = CREATES.has(`${collection}/${name}`) ? 201 : 200;
    api.post(
      `/v1/${collection}/:id/${name}`,
      {
        config: { scope, problems: PROBLEMS[`${collection}/${name}`] ?? OF_ORDERS },
        schema: {
          operationId: `${name}${NOUNS[collection]}`,
          description,
          tags: [TAGS[collection]],
          params: idParam,
          body: ACTION_BODIES[action.body],
          response: { [status]: ANSWERS[action.answer] },
        },
      },
      async ({ params: { id }, body, actor, caller }, reply) =>
        reply.code(status).send(await perform(deps, { ...body, id, actor, caller })),
    );
  }
}

function onRun<Body>(write: (tx: Tx, order: Order<Body>) => Promise<unknown>) {
  return async ({ ledger, daos }: ApiDeps, order: Order<Body>) => {
    await ledger.write((tx) => write(tx, order));
    return present.run(await daos.runs.get(order.id));
  };
}

function onTask<Body>(write: (tx: Tx, order: Order<Body>) => Promise<void>) {
  return async ({ ledger, daos }: ApiDeps, order: Order<Body>) => {
    await ledger.write((tx) => write(tx, order));
    return present.task(await daos.tasks.get(order.id));
  };
}

function onPatch<Body>(write: (tx: Tx, order: Order<Body>) => Promise<void>) {
  return async ({ ledger, daos }: ApiDeps, order: Order<Body>) => {
    await ledger.write((tx) => write(tx, order));
    return present.patch(await daos.patches.get(order.id));
  };
}

function onBreaker(write: (tx: Tx, order: { tool: string; actor: string; reason: string }) => Promise<void>) {
  return async ({ ledger, daos }: ApiDeps, { id: tool, actor, reason }: Order<ActionBodies['order']>) => {
    await ledger.write((tx) => write(tx, { tool, actor, reason }));
    return present.breaker(await daos.breakers.getOfTool(tool));
  };
}

function onTarget(write: (tx: Tx, order: { targetId: string; actor: string; reason: string }) => Promise<void>) {
  return async (deps: ApiDeps, { id, actor, reason }: Order<ActionBodies['order']>) => {
    const targetId = await knownTarget(deps, id);
    await deps.ledger.write((tx) => write(tx, { targetId, actor, reason }));
    return present.target(await deps.daos.targets.get(targetId));
  };
}

/**
 * Returns the id of a target. Creates the target if nothing was submitted to it yet, so that it may be paused in
 * advance; its id then names the repository and the branch.
 */
async function knownTarget({ daos, ledger, submit }: ApiDeps, id: string): Promise<string> {
  if ((await daos.targets.find(id)) !== undefined) return id;
  const { name, url } = submit.repositories.resolve(id.slice(0, Math.max(id.lastIndexOf('@'), 0)));
  const branch = field.branch.safeParse(id.slice(id.lastIndexOf('@') + 1));
  if (!branch.success || !id.includes('@')) throw new SluiceError('entity.not_found', `there is no target ${id}`);
  const target_id = `${name}@${branch.data}`;
  await ledger.write((tx) => makeTargetKnown(tx, { target_id, repository: name, branch: branch.data, url }));
  return target_id;
}
