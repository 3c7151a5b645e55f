import { z } from 'zod';
import * as field from '../../contract/fields.ts';
import { parseDocument } from '../../contract/parse.ts';
import { submitPatchSchema } from '../../contract/patch-input.ts';
import { PATCH_STATES } from '../../domain/lifecycles/patch.ts';
import { approvePatch, dropPatch, prioritizePatch, requeuePatch } from '../../ledger/landing/operate-patches.ts';
import { rollBack } from '../../pipeline/submit-run/roll-back.ts';
import { submitRun } from '../../pipeline/submit-run/submit-run.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { mayOutrank } from '../auth.ts';
import { pageQuery, toPage } from '../paging.ts';
import { patchObject, runObject, taskObject } from '../representation.ts';

const idParam = z.object({ id: z.string() });

export function patchRoutes(api: Api, deps: ApiDeps): void {
  const { daos } = deps;
  api.post(
    '/v1/patches',
    {
      config: { scope: 'submit' },
      schema: {
        description: 'One ready-made patch, without the nesting of a run spec.',
        tags: ['patches'],
        headers: z.looseObject({ 'idempotency-key': z.string().min(1).max(200).optional() }),
        body: z.unknown(),
      },
    },
    async (request, reply) => {
      const patch = parseDocument(submitPatchSchema, request.body, { code: 'spec.invalid', what: 'patch' });
      const { repository, branch, priority, input, message, scope } = patch;
      const task = { name: 'patch', tool: 'patch', input, message, scope };
      const spec = { name: 'patch', repository, branch, priority, workstreams: [{ name: 'patch', tasks: [task] }] };
      const order = {
        spec,
        idempotencyKey: request.headers['idempotency-key'],
        actor: request.actor,
        outranks: mayOutrank(request.caller),
      };
      const { run, created } = await submitRun(deps.submit, order);
      const [written] = await daos.tasks.findByRun(run.run_id);
      const [recorded] = await daos.patches.findByRun(run.run_id);
      return reply
        .code(created ? 201 : 200)
        .send({ run: runObject(run), task: taskObject(written!), patch: patchObject(recorded!) });
    },
  );

  api.get(
    '/v1/patches',
    {
      schema: {
        description: 'The ledger of patches, newest first.',
        tags: ['patches'],
        querystring: z.object({
          ...pageQuery,
          run: z.string().optional(),
          task: z.string().optional(),
          state: z.enum(PATCH_STATES).optional(),
        }),
      },
    },
    async ({ query: { run, task, state, ...page } }) =>
      toPage((await daos.patches.pageOf({ run, task, state }, page)).map(patchObject), page.limit),
  );

  api.get('/v1/patches/:id', { schema: { tags: ['patches'], params: idParam } }, async ({ params }) =>
    patchObject(await daos.patches.get(params.id)),
  );

  const orderBody = { reason: z.string().min(1).max(2_000) };
  const steer = {
    approve: [
      approvePatch,
      'Lets exactly this content pass protected paths, limits and the second proof of pinned files.',
    ],
    requeue: [requeuePatch, 'A blocked patch goes back to its line; what was held against it counts no more.'],
    drop: [dropPatch, 'A patch that has not landed is given up, and the task that waited for it fails.'],
  } as const;
  for (const [action, [write, description]] of Object.entries(steer)) {
    api.post(
      `/v1/patches/:id/${action}`,
      {
        config: { scope: 'operate' },
        schema: { description, tags: ['patches'], params: idParam, body: z.strictObject(orderBody) },
      },
      async ({ params, body, actor }) => {
        await deps.ledger.write((tx) => write(tx, { patchId: params.id, actor, reason: body.reason }));
        for (const hint of ['landing', 'dispatch', 'roll-up']) deps.ledger.hint(hint);
        return patchObject(await daos.patches.get(params.id));
      },
    );
  }

  api.post(
    '/v1/patches/:id/prioritize',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'Where a waiting patch stands in its line: higher lands first. What is proven stays proven.',
        tags: ['patches'],
        params: idParam,
        body: z.strictObject({ ...orderBody, priority: field.priority }),
      },
    },
    async ({ params, body, actor }) => {
      await deps.ledger.write((tx) => prioritizePatch(tx, { patchId: params.id, actor, ...body }));
      deps.ledger.hint('landing');
      return patchObject(await daos.patches.get(params.id));
    },
  );

  api.post(
    '/v1/patches/:id/rollback',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'Submits a run that takes a landed patch back, ahead of the queue and through the same gates.',
        tags: ['patches'],
        params: idParam,
        body: z.strictObject(orderBody),
      },
    },
    async ({ params, body, actor }, reply) => {
      const run = await rollBack(deps, { patchId: params.id, actor, reason: body.reason });
      return reply.code(201).send(runObject(run));
    },
  );

  api.get(
    '/v1/patches/:id/diff',
    {
      schema: {
        description: 'The change as git writes it, or the bytes as they came when it never became one.',
        tags: ['patches'],
        params: idParam,
      },
    },
    async ({ params }, reply) => {
      const { diff, content } = await daos.patches.get(params.id);
      return reply.type('text/x-diff; charset=utf-8').send(diff ?? content ?? Buffer.alloc(0));
    },
  );
}
