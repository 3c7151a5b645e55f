import { z } from 'zod';
import { pageOf } from '../../contract/answers.ts';
import { taskObject, wholeTaskObject } from '../../contract/objects.ts';
import { TASK_STATES } from '../../contract/states.ts';
import { isTerminal } from '../../domain/lifecycle.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { Cursors, pageQuery } from '../cursor.ts';
import { logAnswer, logQuery, logResponse } from '../log-stream.ts';
import { present } from '../present.ts';
import { idParam } from '../schemas.ts';

const cursors = new Cursors('tasks');

export function taskRoutes(api: Api, { daos }: ApiDeps): void {
  api.get(
    '/v1/tasks',
    {
      config: { problems: ['cursor.invalid'] },
      schema: {
        operationId: 'listTasks',
        description: 'Tasks, newest first.',
        tags: ['tasks'],
        querystring: z.object({
          ...pageQuery,
          run: z.string().optional(),
          state: z.enum(TASK_STATES).optional(),
          tool: z.string().optional(),
        }),
        response: { 200: pageOf(taskObject) },
      },
    },
    async ({ query: { run, state, tool, ...page } }) =>
      cursors.pageOf((await daos.tasks.pageOf({ run, state, tool }, cursors.read(page))).map(present.task), page.limit),
  );

  api.get(
    '/v1/tasks/:id',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'getTask',
        description: 'One task with its input.',
        tags: ['tasks'],
        params: idParam,
        response: { 200: wholeTaskObject },
      },
    },
    async ({ params }) => present.wholeTask(await daos.tasks.get(params.id)),
  );

  api.get(
    '/v1/tasks/:id/logs',
    {
      config: { problems: ['entity.not_found', 'cursor.invalid'] },
      schema: {
        operationId: 'readTaskLogs',
        description: 'Output of the tool in all attempts. With `follow`, server-sent events until the task has ended.',
        tags: ['tasks'],
        params: idParam,
        querystring: logQuery,
        response: logResponse,
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
}
