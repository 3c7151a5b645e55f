import { z } from 'zod';
import { audit, pageOf, queuedTargetObject, targetCheck } from '../../contract/answers.ts';
import { targetObject, workerObject } from '../../contract/objects.ts';
import { WORKER_STATES } from '../../contract/states.ts';
import { auditTarget } from '../../inspect/audit-target.ts';
import { checkTarget } from '../../inspect/check-target.ts';
import { forgetTarget } from '../../ledger/landing/targets.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { Cursors, pageQuery } from '../cursor.ts';
import { targetWithQueue } from '../landing-queue.ts';
import { OF_MIRRORS } from '../operation.ts';
import { present } from '../present.ts';
import { idParam } from '../schemas.ts';

const cursors = new Cursors('workers');

/** Routes of workers and targets. */
export function fleetRoutes(api: Api, { daos, ledger, mirrors, seal }: ApiDeps): void {
  api.get(
    '/v1/workers',
    {
      config: { problems: ['cursor.invalid'] },
      schema: {
        operationId: 'listWorkers',
        description: 'Worker processes, newest first.',
        tags: ['fleet'],
        querystring: z.object({ ...pageQuery, state: z.enum(WORKER_STATES).optional() }),
        response: { 200: pageOf(workerObject) },
      },
    },
    async ({ query: { state, ...page } }) =>
      cursors.pageOf(
        (await daos.workers.page(state === undefined ? {} : { state }, cursors.read(page))).map(present.worker),
        page.limit,
      ),
  );

  api.get(
    '/v1/workers/:id',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'getWorker',
        description: 'One worker process.',
        tags: ['fleet'],
        params: idParam,
        response: { 200: workerObject },
      },
    },
    async ({ params }) => present.worker(await daos.workers.get(params.id)),
  );

  api.get(
    '/v1/targets',
    {
      schema: {
        operationId: 'listTargets',
        description: 'Targets: the branches of repositories that Sluice lands on.',
        tags: ['fleet'],
        response: { 200: pageOf(targetObject) },
      },
    },
    async () => ({ items: (await daos.targets.listAll(1_000)).map(present.target), next_cursor: null }),
  );

  api.get(
    '/v1/targets/:id',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'getTarget',
        description: 'One target with its landing queue.',
        tags: ['fleet'],
        params: idParam,
        response: { 200: queuedTargetObject },
      },
    },
    async ({ params }) => targetWithQueue(daos, await daos.targets.get(params.id)),
  );

  api.delete(
    '/v1/targets/:id',
    {
      config: { scope: 'operate', problems: ['entity.not_found', 'target.in_use'] },
      schema: {
        operationId: 'deleteTarget',
        description: 'Forgets a target that no run is for.',
        tags: ['fleet'],
        params: idParam,
        response: { 204: z.undefined() },
      },
    },
    async ({ params }, reply) => {
      await ledger.write((tx) => forgetTarget(tx, params.id));
      return reply.code(204).send();
    },
  );

  api.get(
    '/v1/targets/:id/audit',
    {
      config: { problems: ['entity.not_found', ...OF_MIRRORS] },
      schema: {
        operationId: 'auditTarget',
        description:
          'Checks every commit that Sluice landed on the target: its tree against git, its verdicts against the ledger.',
        tags: ['fleet'],
        params: idParam,
        response: { 200: audit },
      },
    },
    async ({ params }) => auditTarget({ daos, mirrors, seal }, params.id),
  );

  api.get(
    '/v1/targets/:id/check',
    {
      config: { problems: ['entity.not_found', ...OF_MIRRORS] },
      schema: {
        operationId: 'checkTarget',
        description:
          'Likely mistakes in the policy at the tip of the branch: patterns that match no file, gates that a patch may redefine.',
        tags: ['fleet'],
        params: idParam,
        response: { 200: targetCheck },
      },
    },
    async ({ params }) => checkTarget({ targets: daos.targets, mirrors }, params.id),
  );
}
