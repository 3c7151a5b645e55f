import { z } from 'zod';
import { pageOf } from '../../contract/answers.ts';
import { gateObject } from '../../contract/objects.ts';
import { GATE_STATES } from '../../contract/states.ts';
import { isTerminal } from '../../domain/lifecycle.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { logAnswer, logQuery, logResponse } from '../log-stream.ts';
import { present } from '../present.ts';
import { idParam, PROBLEMS, pageQuery, toPage } from '../schemas.ts';

export function gateRoutes(api: Api, { daos }: ApiDeps): void {
  api.get(
    '/v1/gates',
    {
      schema: {
        description: 'Gate executions, newest first.',
        tags: ['gates'],
        querystring: z.object({ ...pageQuery, run: z.string().optional(), state: z.enum(GATE_STATES).optional() }),
        response: { 200: pageOf(gateObject), ...PROBLEMS },
      },
    },
    async ({ query: { run, state, ...page } }) => {
      const criteria = { ...(run === undefined ? {} : { run_id: run }), ...(state === undefined ? {} : { state }) };
      return toPage((await daos.gates.page(criteria, page)).map(present.gate), page.limit);
    },
  );

  api.get(
    '/v1/gates/:id',
    { schema: { tags: ['gates'], params: idParam, response: { 200: gateObject, ...PROBLEMS } } },
    async ({ params }) => present.gate(await daos.gates.get(params.id)),
  );

  api.get(
    '/v1/gates/:id/logs',
    {
      schema: {
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
