import { z } from 'zod';
import { whyToolHolds } from '../../domain/wait.ts';
import { readStanding } from '../../ledger/attempts/admission-state.ts';
import { resetBreaker, tripBreaker } from '../../ledger/attempts/breakers.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { breakerObject } from '../representation.ts';

/** Declared tools with their limits, and the breakers that stop them. */
export function toolRoutes(api: Api, { database, daos, ledger }: ApiDeps): void {
  api.get(
    '/v1/tools',
    { schema: { description: 'Declared tools: limits, use, and what they wait for.', tags: ['tools'] } },
    async () => {
      const { tools } = await readStanding(database);
      const items = tools.map(({ breaker_id: _row, admits: _admits, tool, ...standing }) => {
        const held = whyToolHolds({ breaker_id: _row, admits: _admits, tool, ...standing });
        return { id: tool, ...standing, waits: held?.sentence ?? null, again_at: held?.again_at ?? null };
      });
      return { items, next_cursor: null };
    },
  );

  api.get('/v1/breakers', { schema: { description: 'One breaker a declared tool.', tags: ['tools'] } }, async () => ({
    items: (await daos.breakers.listAll(1_000)).map(breakerObject),
    next_cursor: null,
  }));

  const steer = {
    reset: [resetBreaker, 'Closes the breaker and forgets what was counted.'],
    trip: [tripBreaker, 'Stops the tool fleet-wide until an operator resets it; its tasks wait and lose no retry.'],
  } as const;
  for (const [action, [write, description]] of Object.entries(steer)) {
    api.post(
      `/v1/breakers/:tool/${action}`,
      {
        config: { scope: 'operate' },
        schema: {
          description,
          tags: ['tools'],
          params: z.object({ tool: z.string() }),
          body: z.strictObject({ reason: z.string().min(1).max(2_000) }),
        },
      },
      async ({ params: { tool }, body, actor }) => {
        await ledger.write((tx) => write(tx, { tool, actor, reason: body.reason }));
        ledger.hint('dispatch');
        return breakerObject((await daos.breakers.getByTool(tool))!);
      },
    );
  }
}
