import { z } from 'zod';
import { SluiceError } from '../../contract/errors.ts';
import { usd } from '../../contract/fields.ts';
import { isTerminal } from '../../domain/lifecycle.ts';
import { RUN_STATES } from '../../domain/lifecycles/run.ts';
import type { RunRow } from '../../entities/run.ts';
import { setBudget } from '../../ledger/attempts/costs.ts';
import { cancelRun, pauseRun, resumeRun } from '../../ledger/runs/cancel.ts';
import { redriveRun } from '../../ledger/runs/retry.ts';
import { submitRun } from '../../pipeline/submit-run/submit-run.ts';
import { validateRun } from '../../pipeline/submit-run/validate-run.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { assertOwn, mayOutrank } from '../auth.ts';
import { pageQuery, toPage } from '../paging.ts';
import { type ApiObject, gateObject, patchObject, runObject, taskObject, workstreamObject } from '../representation.ts';

const EXPANSIONS = ['workstreams', 'tasks', 'patches', 'gates'] as const;
const idParam = z.object({ id: z.string() });
const orderBody = z.strictObject({ reason: z.string().min(1).max(2_000) });
const reasonBody = z.strictObject({ reason: z.string().max(2_000).optional() }).nullish();

export function runRoutes(api: Api, deps: ApiDeps): void {
  api.post(
    '/v1/runs',
    {
      config: { scope: 'submit' },
      schema: {
        description: 'Submit a run spec. With `dry_run` it is only checked.',
        tags: ['runs'],
        querystring: z.object({ dry_run: z.stringbool().default(false) }),
        headers: z.looseObject({ 'idempotency-key': z.string().min(1).max(200).optional() }),
        body: z.unknown(),
      },
    },
    async (request, reply) => {
      if (request.query.dry_run) {
        validateRun(deps.submit, request.body);
        return { valid: true };
      }
      const idempotencyKey = request.headers['idempotency-key'];
      const order = { spec: request.body, idempotencyKey, actor: request.actor, outranks: mayOutrank(request.caller) };
      const { run, created } = await submitRun(deps.submit, order);
      return reply.code(created ? 201 : 200).send(runObject(run));
    },
  );

  api.get(
    '/v1/runs',
    {
      schema: {
        description: 'Runs, newest first.',
        tags: ['runs'],
        querystring: z.object({
          ...pageQuery,
          state: z.enum(RUN_STATES).optional(),
          label: z
            .string()
            .regex(/^[^=]+=/, 'a label is given as key=value')
            .optional(),
        }),
      },
    },
    async ({ query: { state, label, ...page } }) => {
      const [key, ...value] = (label ?? '').split('=');
      const filter = { state, label: label === undefined ? undefined : { key: key!, value: value.join('=') } };
      const runs = await deps.daos.runs.pageOf(filter, page);
      return toPage(runs.map(runObject), page.limit);
    },
  );

  api.get(
    '/v1/runs/:id',
    {
      schema: {
        description: 'One run; `expand=workstreams,tasks,patches,gates` inlines what belongs to it.',
        tags: ['runs'],
        params: idParam,
        querystring: z.object({ expand: z.string().default('') }),
      },
    },
    async ({ params, query }) => {
      const run = await deps.daos.runs.get(params.id);
      return { ...runObject(run), ...(await expansions(deps, run, query.expand)) };
    },
  );

  for (const [action, steer] of Object.entries({ pause: pauseRun, resume: resumeRun })) {
    api.post(
      `/v1/runs/:id/${action}`,
      { config: { scope: 'operate' }, schema: { tags: ['runs'], params: idParam, body: reasonBody } },
      async ({ params, body, actor }) => {
        await deps.ledger.write((tx) => steer(tx, params.id, { actor, reason: body?.reason }));
        for (const hint of ['dispatch', 'roll-up']) deps.ledger.hint(hint);
        return runObject(await deps.daos.runs.get(params.id));
      },
    );
  }

  api.post(
    '/v1/runs/:id/cancel',
    {
      config: { scope: 'submit' },
      schema: {
        description: 'Ends the run and all of it that has not ended.',
        tags: ['runs'],
        params: idParam,
        body: reasonBody,
      },
    },
    async ({ params, body, actor, caller }) => {
      assertOwn(caller, (await deps.daos.runs.get(params.id)).submitted_by, 'cancelling runs');
      const running = await deps.ledger.write((tx) => cancelRun(tx, params.id, { actor, reason: body?.reason }));
      for (const taskId of running) deps.ledger.hint(`cancel:${taskId}`);
      for (const hint of ['roll-up', 'landing']) deps.ledger.hint(hint);
      return runObject(await deps.daos.runs.get(params.id));
    },
  );

  api.post(
    '/v1/runs/:id/retry',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'Every failed task of the run again, with all its retries; what they did before stays on record.',
        tags: ['runs'],
        params: idParam,
        body: orderBody,
      },
    },
    async ({ params, body, actor }) => {
      await deps.ledger.write((tx) => redriveRun(tx, params.id, { actor, reason: body.reason }));
      for (const hint of ['dispatch', 'roll-up']) deps.ledger.hint(hint);
      return runObject(await deps.daos.runs.get(params.id));
    },
  );

  api.post(
    '/v1/runs/:id/budget',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'What the run may cost from now on; what waited for it goes on.',
        tags: ['runs'],
        params: idParam,
        body: orderBody.extend({ usd }),
      },
    },
    async ({ params, body, actor }) => {
      await deps.ledger.write((tx) => setBudget(tx, 'run', { id: params.id, actor, ...body }));
      deps.ledger.hint('dispatch');
      return runObject(await deps.daos.runs.get(params.id));
    },
  );

  api.delete(
    '/v1/runs/:id',
    {
      config: { scope: 'operate' },
      schema: { description: 'Deletes an ended run with all that hangs on it.', tags: ['runs'], params: idParam },
    },
    async ({ params }, reply) => {
      const run = await deps.daos.runs.get(params.id);
      if (!isTerminal('run', run.state)) {
        throw new SluiceError('run.active', `the run is ${run.state}: cancel it first`, {
          facts: { state: run.state },
        });
      }
      await deps.daos.runs.delete(params.id);
      return reply.code(204).send();
    },
  );
}

async function expansions({ daos }: ApiDeps, run: RunRow, expand: string): Promise<Record<string, ApiObject[]>> {
  const wanted = expand.split(',').filter((name) => name !== '');
  const strange = wanted.find((name) => !(EXPANSIONS as readonly string[]).includes(name));
  if (strange !== undefined) {
    throw new SluiceError('body.invalid', `expand: ${strange} is none of ${EXPANSIONS.join(', ')}`);
  }
  const read: Record<(typeof EXPANSIONS)[number], () => Promise<ApiObject[]>> = {
    workstreams: async () => (await daos.workstreams.findByRun(run.run_id)).map(workstreamObject),
    tasks: async () => (await daos.tasks.findByRun(run.run_id)).map(taskObject),
    patches: async () => (await daos.patches.findByRun(run.run_id)).map(patchObject),
    gates: async () => (await daos.gates.findByRun(run.run_id)).map(gateObject),
  };
  const entries = EXPANSIONS.filter((name) => wanted.includes(name)).map(async (name) => [name, await read[name]()]);
  return Object.fromEntries(await Promise.all(entries));
}
