import { z } from 'zod';
import { SluiceError } from '../../contract/errors.ts';
import * as field from '../../contract/fields.ts';
import { WORKER_STATES } from '../../domain/lifecycles/worker.ts';
import { auditTarget } from '../../inspect/audit-target.ts';
import { checkTarget } from '../../inspect/check-target.ts';
import { drainWorker } from '../../ledger/fleet/workers.ts';
import { resumeTarget } from '../../ledger/landing/stop-patches.ts';
import { makeTargetKnown, pauseTarget } from '../../ledger/landing/targets.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { targetWithQueue } from '../landing-queue.ts';
import { pageQuery, toPage } from '../paging.ts';
import { targetObject, workerObject } from '../representation.ts';

/** Workers and targets: who works, where things land. */
export function fleetRoutes(api: Api, { daos, ledger, mirrors, seal, submit }: ApiDeps): void {
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
    async ({ params }) => auditTarget({ daos, mirrors, seal }, params.id),
  );

  api.get(
    '/v1/targets/:id/check',
    {
      schema: {
        description:
          'What the policy at the branch’s tip probably does not mean: patterns without a file, gates that a patch may redefine.',
        tags: ['fleet'],
        params: z.object({ id: z.string() }),
      },
    },
    async ({ params }) => checkTarget({ targets: daos.targets, mirrors }, params.id),
  );

  /** A target may be steered before anything was submitted to it: its name says which it is. */
  const knownTarget = async (id: string): Promise<string> => {
    if ((await daos.targets.find(id)) !== undefined) return id;
    const { name, url } = submit.repositories.resolve(id.slice(0, Math.max(id.lastIndexOf('@'), 0)));
    const branch = field.branch.safeParse(id.slice(id.lastIndexOf('@') + 1));
    if (!branch.success || !id.includes('@')) throw new SluiceError('entity.not_found', `there is no target ${id}`);
    const target_id = `${name}@${branch.data}`;
    await ledger.write((tx) => makeTargetKnown(tx, { target_id, repository: name, branch: branch.data, url }));
    return target_id;
  };

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
        const targetId = await knownTarget(params.id);
        await ledger.write((tx) => write(tx, { targetId, actor, reason: body.reason }));
        for (const hint of ['landing', 'roll-up']) ledger.hint(hint);
        return targetObject(await daos.targets.get(targetId));
      },
    );
  }
}
