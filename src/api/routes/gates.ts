import { z } from 'zod';
import { pageOf } from '../../contract/answers.ts';
import { gateObject } from '../../contract/objects.ts';
import { GATE_STATES } from '../../contract/states.ts';
import { isTerminal } from '../../domain/lifecycle.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { Cursors, pageQuery } from '../cursor.ts';
import { logAnswer, logQuery, logResponse } from '../log-stream.ts';
import { present } from '../present.ts';
import { idParam } from '../schemas.ts';

const cursors = new Cursors('gates');

export function gateRoutes(api: Api, { daos }: ApiDeps): void {
  api.get(
    '/v1/gates',
    {
      config: { problems: ['cursor.invalid'] },
      schema: {
        operationId: 'listGates',
        description: 'Gate executions, newest first.',
        tags: ['gates'],
        querystring: z.object({
          ...pageQuery,
          run: z.string().optional(),
          task: z.string().optional(),
          patch: z.string().optional().describe('Executions whose candidate held this patch.'),
          target: z.string().optional(),
          state: z.enum(GATE_STATES).optional(),
        }),
        response: { 200: pageOf(gateObject) },
      },
    },
    async ({ query: { limit, cursor, ...filter } }) =>
      cursors.pageOf((await daos.gates.pageOf(filter, cursors.read({ limit, cursor }))).map(present.gate), limit),
  );

  api.get(
    '/v1/gates/:id',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'getGate',
        description: 'One execution of a gate.',
        tags: ['gates'],
        params: idParam,
        response: { 200: gateObject },
      },
    },
    async ({ params }) => present.gate(await daos.gates.get(params.id)),
  );

  api.get(
    '/v1/gates/:id/logs',
    {
      config: { problems: ['entity.not_found', 'cursor.invalid'] },
      schema: {
        operationId: 'readGateLogs',
        description: 'Output of the gate. With `follow`, server-sent events until the gate has ended.',
        tags: ['gates'],
        params: idParam,
        querystring: logQuery,
        response: logResponse,
      },
    },
    async (request, reply) => {
      const { gate_id: id } = await daos.gates.get(request.params.id);
      return logAnswer(request, reply, request.query, {
        read: (after, limit) => daos.logs.readGate(id, { after, limit }),
        ending: async () => {
          const { state, outcome } = await daos.gates.get(id);
          if (outcome === 'withdrawn') return 'cut_short';
          return isTerminal('gate', state) ? 'ended' : 'open';
        },
      });
    },
  );
}
