import { z } from 'zod';
import { audit, pageOf, queuedTargetObject, targetCheck } from '../../contract/answers.ts';
import { targetObject, workerObject } from '../../contract/objects.ts';
import { WORKER_STATES } from '../../contract/states.ts';
import { auditTarget } from '../../inspect/audit-target.ts';
import { checkTarget } from '../../inspect/check-target.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { targetWithQueue } from '../landing-queue.ts';
import { present } from '../present.ts';
import { idParam, PROBLEMS, pageQuery, toPage } from '../schemas.ts';

/** Routes of workers and targets. */
export function fleetRoutes(api: Api, { daos, mirrors, seal }: ApiDeps): void {
  api.get(
    '/v1/workers',
    {
      schema: {
        description: 'Worker processes, newest first.',
        tags: ['fleet'],
        querystring: z.object({ ...pageQuery, state: z.enum(WORKER_STATES).optional() }),
        response: { 200: pageOf(workerObject), ...PROBLEMS },
      },
    },
    async ({ query: { state, ...page } }) =>
      toPage((await daos.workers.page(state === undefined ? {} : { state }, page)).map(present.worker), page.limit),
  );

  api.get(
    '/v1/workers/:id',
    { schema: { tags: ['fleet'], params: idParam, response: { 200: workerObject, ...PROBLEMS } } },
    async ({ params }) => present.worker(await daos.workers.get(params.id)),
  );

  api.get(
    '/v1/targets',
    {
      schema: {
        description: 'Targets: the branches of repositories that Sluice lands on.',
        tags: ['fleet'],
        response: { 200: pageOf(targetObject), ...PROBLEMS },
      },
    },
    async () => ({ items: (await daos.targets.listAll(1_000)).map(present.target), next_cursor: null }),
  );

  api.get(
    '/v1/targets/:id',
    { schema: { tags: ['fleet'], params: idParam, response: { 200: queuedTargetObject, ...PROBLEMS } } },
    async ({ params }) => targetWithQueue(daos, await daos.targets.get(params.id)),
  );

  api.get(
    '/v1/targets/:id/audit',
    {
      schema: {
        description:
          'Checks every commit that Sluice landed on the target: its tree against git, its verdicts against the ledger.',
        tags: ['fleet'],
        params: idParam,
        response: { 200: audit, ...PROBLEMS },
      },
    },
    async ({ params }) => auditTarget({ daos, mirrors, seal }, params.id),
  );

  api.get(
    '/v1/targets/:id/check',
    {
      schema: {
        description:
          'Likely mistakes in the policy at the tip of the branch: patterns that match no file, gates that a patch may redefine.',
        tags: ['fleet'],
        params: idParam,
        response: { 200: targetCheck, ...PROBLEMS },
      },
    },
    async ({ params }) => checkTarget({ targets: daos.targets, mirrors }, params.id),
  );
}
