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

/** Workers and targets: who works, where things land. */
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
        description: 'Repositories and branches.',
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
        description: 'Every commit that Sluice landed there, with its tree and its verdicts, looked at again.',
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
          'What the policy at the branch’s tip probably does not mean: patterns without a file, gates that a patch may redefine.',
        tags: ['fleet'],
        params: idParam,
        response: { 200: targetCheck, ...PROBLEMS },
      },
    },
    async ({ params }) => checkTarget({ targets: daos.targets, mirrors }, params.id),
  );
}
