import { pageOf, toolObject } from '../../contract/answers.ts';
import { breakerObject } from '../../contract/objects.ts';
import { whyToolHolds } from '../../domain/wait.ts';
import { readAdmissionState } from '../../ledger/attempts/admission-state.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { present } from '../present.ts';
import { idParam } from '../schemas.ts';

/** Routes of declared tools and their breakers. */
export function toolRoutes(api: Api, { database, daos }: ApiDeps): void {
  api.get(
    '/v1/tools',
    {
      schema: {
        operationId: 'listTools',
        description: 'Declared tools: their limits, their use, and why their tasks wait.',
        tags: ['tools'],
        response: { 200: pageOf(toolObject) },
      },
    },
    async () => {
      const { tools } = await readAdmissionState(database);
      const items = tools.map((state) => {
        const { breaker_id: _row, admits: _admits, tool, ...shown } = state;
        const held = whyToolHolds(state);
        return { id: tool, ...shown, waits: held?.sentence ?? null, again_at: held?.again_at ?? null };
      });
      return { items, next_cursor: null };
    },
  );

  api.get(
    '/v1/breakers',
    {
      schema: {
        operationId: 'listBreakers',
        description: 'Circuit breakers, one for each declared tool.',
        tags: ['tools'],
        response: { 200: pageOf(breakerObject) },
      },
    },
    async () => ({ items: (await daos.breakers.listAll(1_000)).map(present.breaker), next_cursor: null }),
  );

  api.get(
    '/v1/breakers/:id',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'getBreaker',
        description: 'The breaker of a tool, by the name of the tool.',
        tags: ['tools'],
        params: idParam,
        response: { 200: breakerObject },
      },
    },
    async ({ params }) => present.breaker(await daos.breakers.getOfTool(params.id)),
  );
}
