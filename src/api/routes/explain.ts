import { z } from 'zod';
import { explanation } from '../../contract/answers.ts';
import { explain } from '../../inspect/explain/explain.ts';
import type { Api, ApiDeps } from '../api-deps.ts';

export function explainRoutes(api: Api, { database, daos }: ApiDeps): void {
  api.get(
    '/v1/explain/:id',
    {
      config: { problems: ['entity.not_found'] },
      schema: {
        operationId: 'explain',
        description:
          'Why a run, workstream, task, patch, gate, worker, target or tool is in its state: a code, one sentence, the same facts as data, and when it is checked again.',
        tags: ['explain'],
        params: z.object({ id: z.string().min(1) }),
        response: { 200: explanation },
      },
    },
    async ({ params }) => explain({ database, daos }, params.id),
  );
}
