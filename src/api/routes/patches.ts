import { z } from 'zod';
import { pageOf, submittedPatch, waitedPatch } from '../../contract/answers.ts';
import { patchObject } from '../../contract/objects.ts';
import { parseDocument } from '../../contract/parse.ts';
import { submitPatchSchema } from '../../contract/patch-input.ts';
import { PATCH_STATES } from '../../contract/states.ts';
import { isMoving } from '../../domain/lifecycles/patch.ts';
import type { PatchRow } from '../../entities/patch.ts';
import { submitRun } from '../../pipeline/submit-run/submit-run.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { mayOutrank } from '../auth.ts';
import { Cursors, pageQuery } from '../cursor.ts';
import { present } from '../present.ts';
import { idParam, keyHeader } from '../schemas.ts';
import { waitQuery, waitUntilEnded } from '../wait.ts';

/** A string in the OpenAPI document, bytes in the answer, because a diff may hold any encoding. */
const BYTES = z.string() as unknown as z.ZodType<Buffer>;

const cursors = new Cursors('patches');

export function patchRoutes(api: Api, deps: ApiDeps): void {
  const { daos } = deps;
  api.post(
    '/v1/patches',
    {
      config: { scope: 'submit', body: submitPatchSchema, problems: ['spec.invalid', 'idempotency.mismatch'] },
      schema: {
        operationId: 'submitPatch',
        description: 'Submits one ready-made patch without a run spec, as a run with one task.',
        tags: ['patches'],
        headers: keyHeader,
        body: z.unknown(),
        response: { 200: submittedPatch, 201: submittedPatch },
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
        .send({ run: present.run(run), task: present.task(written!), patch: present.patch(recorded!) });
    },
  );

  api.get(
    '/v1/patches',
    {
      config: { problems: ['cursor.invalid'] },
      schema: {
        operationId: 'listPatches',
        description: 'Patches, newest first.',
        tags: ['patches'],
        querystring: z.object({
          ...pageQuery,
          run: z.string().optional(),
          task: z.string().optional(),
          state: z.enum(PATCH_STATES).optional(),
        }),
        response: { 200: pageOf(patchObject) },
      },
    },
    async ({ query: { run, task, state, ...page } }) =>
      cursors.pageOf(
        (await daos.patches.pageOf({ run, task, state }, cursors.read(page))).map(present.patch),
        page.limit,
      ),
  );

  api.get(
    '/v1/patches/:id/wait',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'waitForPatch',
        description:
          'Answers when the patch has landed or was stopped, or after `timeout_seconds` as it is then: `ended` tells which.',
        tags: ['patches'],
        params: idParam,
        querystring: waitQuery,
        response: { 200: waitedPatch },
      },
    },
    async ({ params, query }, reply) => {
      const read = () => daos.patches.get(params.id);
      const hasEnded = ({ state }: PatchRow) => !isMoving(state);
      const { ended, row } = await waitUntilEnded(query, { read, hasEnded }, { reply, feed: deps.feed });
      return { ended, patch: present.patch(row) };
    },
  );

  api.get(
    '/v1/patches/:id',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'getPatch',
        description: 'One patch.',
        tags: ['patches'],
        params: idParam,
        response: { 200: patchObject },
      },
    },
    async ({ params }) => present.patch(await daos.patches.get(params.id)),
  );

  api.get(
    '/v1/patches/:id/diff',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'getDiff',
        description: 'The change as a git diff, or the bytes of the caller if they could not be read as a change.',
        tags: ['patches'],
        params: idParam,
        response: { 200: { description: 'The diff.', content: { 'text/x-diff': { schema: BYTES } } } },
      },
    },
    async ({ params }, reply) => {
      const { diff, content } = await daos.patches.get(params.id);
      return reply.type('text/x-diff; charset=utf-8').send(diff ?? content ?? Buffer.alloc(0));
    },
  );
}
