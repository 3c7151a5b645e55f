import { z } from 'zod';
import { WORKER_STATES } from '../../domain/lifecycles/worker.ts';
import { resumeTarget } from '../../ledger/stop-patches.ts';
import { pauseTarget } from '../../ledger/targets.ts';
import { drainWorker } from '../../ledger/workers.ts';
import { auditTarget } from '../../pipeline/audit-target.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { targetWithQueue } from '../landing-queue.ts';
import { pageQuery, toPage } from '../paging.ts';
import { targetObject, workerObject } from '../representation.ts';

/** Workers and targets: who works, where things land. */
export function fleetRoutes(api: Api, { daos, ledger, mirrors }: ApiDeps): void {
  api.get(
    '/v1/workers',
    {
      schema: {
        description: 'Worker processes, newest first.',
        tags: ['fleet'],
        querystring: z.object({ ...pageQuery, state: z.enum(WORKER_STATES).optional() }),
      },
    },
    async ({ query: { state, ...page } }) =>
      toPage((await daos.workers.page(state === undefined ? {} : { state }, page)).map(workerObject), page.limit),
  );

  api.post(
    '/v1/workers/:id/drain',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'The worker takes no more, ends what it holds or hands it back in time, and stops.',
        tags: ['fleet'],
        params: z.object({ id: z.string() }),
        body: z.strictObject({ reason: z.string().min(1).max(2_000) }),
      },
    },
    async ({ params, body, actor }) => {
      await ledger.write((tx) => drainWorker(tx, { workerId: params.id, actor, reason: body.reason }));
      return workerObject(await daos.workers.get(params.id));
    },
  );

  api.get('/v1/targets', { schema: { description: 'Repositories and branches.', tags: ['fleet'] } }, async () => ({
    items: (await daos.targets.listAll(1_000)).map(targetObject),
    next_cursor: null,
  }));

  api.get(
    '/v1/targets/:id',
    { schema: { tags: ['fleet'], params: z.object({ id: z.string() }) } },
    async ({ params }) => targetWithQueue(daos, await daos.targets.get(params.id)),
  );

  api.get(
    '/v1/targets/:id/audit',
    {
      schema: {
        description: 'Every commit that Sluice landed there, with its tree and its verdicts, looked at again.',
        tags: ['fleet'],
        params: z.object({ id: z.string() }),
      },
    },
    async ({ params }) => auditTarget({ daos, mirrors }, params.id),
  );

  const steer = { pause: pauseTarget, resume: resumeTarget };
  for (const [action, write] of Object.entries(steer)) {
    api.post(
      `/v1/targets/:id/${action}`,
      {
        config: { scope: 'operate' },
        schema: {
          description:
            'A paused target goes on testing and lands nothing. Resuming also gives up what was taken off the branch.',
          tags: ['fleet'],
          params: z.object({ id: z.string() }),
          body: z.strictObject({ reason: z.string().min(1).max(2_000) }),
        },
      },
      async ({ params, body, actor }) => {
        const { target_id: targetId } = await daos.targets.get(params.id);
        await ledger.write((tx) => write(tx, { targetId, actor, reason: body.reason }));
        for (const hint of ['landing', 'roll-up']) ledger.hint(hint);
        return targetObject(await daos.targets.get(targetId));
      },
    );
  }
}
