import { Readable } from 'node:stream';
import { z } from 'zod';
import { pageOf, prunedRuns, waitedRun } from '../../contract/answers.ts';
import { SluiceError } from '../../contract/errors.ts';
import { expandedRunObject, runObject } from '../../contract/objects.ts';
import { runSpecSchema } from '../../contract/run-spec.ts';
import { OUTCOMES, RUN_STATES } from '../../contract/states.ts';
import { isTerminal } from '../../domain/lifecycle.ts';
import type { RunRow } from '../../entities/run.ts';
import { pruneRuns } from '../../ledger/runs/prune.ts';
import { submitRun } from '../../pipeline/submit-run/submit-run.ts';
import { validateRun } from '../../pipeline/submit-run/validate-run.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { mayOutrank } from '../auth.ts';
import { Cursors, pageQuery } from '../cursor.ts';
import { expandedRun, expansionsIn } from '../expanded-run.ts';
import { present } from '../present.ts';
import { idParam, keyHeader } from '../schemas.ts';
import { waitQuery, waitUntilEnded } from '../wait.ts';

const cursors = new Cursors('runs');

export function runRoutes(api: Api, deps: ApiDeps): void {
  api.post(
    '/v1/runs',
    {
      config: { scope: 'submit', body: runSpecSchema, problems: ['spec.invalid', 'idempotency.mismatch'] },
      schema: {
        operationId: 'submitRun',
        description: 'Submits a run spec. With `dry_run` the spec is only validated.',
        tags: ['runs'],
        querystring: z.object({ dry_run: z.stringbool().default(false) }),
        headers: keyHeader,
        body: z.unknown(),
        response: {
          200: z.union([runObject, z.strictObject({ valid: z.literal(true) })]),
          201: runObject,
        },
      },
    },
    async (request, reply) => {
      if (request.query.dry_run) {
        validateRun(deps.submit, request.body);
        return reply.send({ valid: true as const });
      }
      const idempotencyKey = request.headers['idempotency-key'];
      const order = { spec: request.body, idempotencyKey, actor: request.actor, outranks: mayOutrank(request.caller) };
      const { run, created } = await submitRun(deps.submit, order);
      return reply.code(created ? 201 : 200).send(present.run(run));
    },
  );

  api.get(
    '/v1/runs',
    {
      config: { problems: ['cursor.invalid'] },
      schema: {
        operationId: 'listRuns',
        description: 'Runs, newest first.',
        tags: ['runs'],
        querystring: z.object({
          ...pageQuery,
          state: z.enum(RUN_STATES).optional(),
          outcome: z.enum(OUTCOMES).optional(),
          label: z
            .string()
            .regex(/^[^=]+=/, 'a label is given as key=value')
            .optional(),
        }),
        response: { 200: pageOf(runObject) },
      },
    },
    async ({ query: { state, outcome, label, ...page } }) => {
      const [key, ...value] = (label ?? '').split('=');
      const filter = { state, outcome, label: label === undefined ? undefined : { key: key!, value: value.join('=') } };
      const runs = await deps.daos.runs.pageOf(filter, cursors.read(page));
      return cursors.pageOf(runs.map(present.run), page.limit);
    },
  );

  api.get(
    '/v1/runs/:id',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'getRun',
        description: 'One run. `expand=workstreams,tasks,patches,gates` includes these objects.',
        tags: ['runs'],
        params: idParam,
        querystring: z.object({ expand: z.string().default('') }),
        response: { 200: expandedRunObject },
      },
    },
    async ({ params, query }, reply) => {
      const run = await deps.daos.runs.get(params.id);
      const text = Readable.from(expandedRun(deps.daos, run, expansionsIn(query.expand)));
      return reply.type('application/json; charset=utf-8').send(text as never);
    },
  );

  api.get(
    '/v1/runs/:id/wait',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'waitForRun',
        description: 'Answers when the run has ended, or after `timeout_seconds` as it is then: `ended` tells which.',
        tags: ['runs'],
        params: idParam,
        querystring: waitQuery,
        response: { 200: waitedRun },
      },
    },
    async ({ params, query }, reply) => {
      const read = () => deps.daos.runs.get(params.id);
      const hasEnded = ({ state }: RunRow) => isTerminal('run', state);
      const { ended, row } = await waitUntilEnded(query, { read, hasEnded }, { reply, feed: deps.feed });
      return { ended, run: present.run(row) };
    },
  );

  api.post(
    '/v1/runs/prune',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'pruneRuns',
        description:
          'Deletes the oldest runs that ended before `older_than_days` days, a batch at a time: call again while there are more. What they landed stays proven.',
        tags: ['runs'],
        body: z.strictObject({ older_than_days: z.int().min(1).max(36_500) }),
        response: { 200: prunedRuns },
      },
    },
    async ({ body, actor }) => {
      const pruned = await deps.ledger.write((tx) => pruneRuns(tx, body.older_than_days));
      deps.log.info({ actor, of: 'runs', ...pruned }, 'prune.done');
      return pruned;
    },
  );

  api.delete(
    '/v1/runs/:id',
    {
      config: { scope: 'operate', problems: ['entity.not_found', 'run.active'] },
      schema: {
        operationId: 'deleteRun',
        description: 'Deletes a run that has ended, with its workstreams, tasks, patches, gates and logs.',
        tags: ['runs'],
        params: idParam,
        response: { 204: z.undefined() },
      },
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
