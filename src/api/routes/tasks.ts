import { z } from 'zod';
import { usd } from '../../contract/fields.ts';
import { isTerminal } from '../../domain/lifecycle.ts';
import { TASK_STATES } from '../../domain/lifecycles/task.ts';
import { setBudget } from '../../ledger/attempts/costs.ts';
import { cancelTask } from '../../ledger/runs/cancel.ts';
import { redriveTask } from '../../ledger/runs/retry.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { assertOwn } from '../auth.ts';
import { logAnswer, logQuery } from '../log-stream.ts';
import { pageQuery, toPage } from '../paging.ts';
import { taskObject, taskObjectWhole } from '../representation.ts';

const idParam = z.object({ id: z.string() });
const orderBody = z.strictObject({ reason: z.string().min(1).max(2_000) });

export function taskRoutes(api: Api, deps: ApiDeps): void {
  const { daos, ledger } = deps;
  api.get(
    '/v1/tasks',
    {
      schema: {
        description: 'Tasks, newest first.',
        tags: ['tasks'],
        querystring: z.object({
          ...pageQuery,
          run: z.string().optional(),
          state: z.enum(TASK_STATES).optional(),
          tool: z.string().optional(),
        }),
      },
    },
    async ({ query: { run, state, tool, ...page } }) =>
      toPage((await daos.tasks.pageOf({ run, state, tool }, page)).map(taskObject), page.limit),
  );

  api.get('/v1/tasks/:id', { schema: { tags: ['tasks'], params: idParam } }, async ({ params }) =>
    taskObjectWhole(await daos.tasks.get(params.id)),
  );

  api.get(
    '/v1/tasks/:id/logs',
    {
      schema: {
        description: 'What the tool printed, all attempts. With `follow` server-sent events until the task ends.',
        tags: ['tasks'],
        params: idParam,
        querystring: logQuery,
      },
    },
    async (request, reply) => {
      const { task_id: id } = await daos.tasks.get(request.params.id);
      return logAnswer(request, reply, request.query, {
        read: (after, limit) => daos.logs.readTask(id, { after, limit }),
        ending: async () => {
          const { state } = await daos.tasks.get(id);
          if (state === 'CANCELLED') return 'cut_short';
          return isTerminal('task', state) ? 'ended' : 'open';
        },
      });
    },
  );

  api.post(
    '/v1/tasks/:id/retry',
    {
      config: { scope: 'operate' },
      schema: {
        description:
          'A task that failed or was cancelled runs again, with all its retries; what it did before stays on record.',
        tags: ['tasks'],
        params: idParam,
        body: orderBody,
      },
    },
    async ({ params: { id }, body, actor }) => {
      await ledger.write((tx) => redriveTask(tx, id, { actor, reason: body.reason }));
      for (const hint of ['dispatch', 'roll-up']) ledger.hint(hint);
      return taskObject(await daos.tasks.get(id));
    },
  );

  api.post(
    '/v1/tasks/:id/budget',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'What the attempts of the task may cost together, from now on.',
        tags: ['tasks'],
        params: idParam,
        body: orderBody.extend({ usd }),
      },
    },
    async ({ params: { id }, body, actor }) => {
      await ledger.write((tx) => setBudget(tx, 'task', { id, actor, ...body }));
      ledger.hint('dispatch');
      return taskObject(await daos.tasks.get(id));
    },
  );

  api.post(
    '/v1/tasks/:id/cancel',
    {
      config: { scope: 'submit' },
      schema: {
        description: 'Ends the task; what depends on it is cancelled with it.',
        tags: ['tasks'],
        params: idParam,
        body: z.strictObject({ reason: z.string().max(2_000).optional() }).nullish(),
      },
    },
    async ({ params: { id }, body, actor, caller }) => {
      const { run_id } = await daos.tasks.get(id);
      assertOwn(caller, (await daos.runs.get(run_id!)).submitted_by, 'cancelling tasks');
      const wasRunning = await ledger.write((tx) => cancelTask(tx, id, { actor, reason: body?.reason }));
      if (wasRunning) ledger.hint(`cancel:${id}`);
      for (const hint of ['roll-up', 'landing']) ledger.hint(hint);
      return taskObject(await daos.tasks.get(id));
    },
  );
}
