import { z } from 'zod';
import { type CheckObject, readiness } from '../../contract/answers.ts';
import { SluiceError } from '../../contract/errors.ts';
import { assertSchemaCurrent } from '../../database/migrator.ts';
import type { Api, ApiDeps } from '../api-deps.ts';

const alive = z.strictObject({ status: z.literal('ok') });

export function healthRoutes(api: Api, deps: ApiDeps): void {
  const open = { config: { scope: 'none' } } as const;
  api.get(
    '/healthz',
    { ...open, schema: { description: 'The process answers.', tags: ['health'], response: { 200: alive } } },
    async () => ({
      status: 'ok' as const,
    }),
  );

  api.get(
    '/readyz',
    {
      ...open,
      schema: {
        description: 'Database, schema and queue can be used, and workers take what waits.',
        tags: ['health'],
        response: { 200: readiness, 503: readiness },
      },
    },
    async (_request, reply) => {
      const checks = {
        database: await check(() => deps.database.ping()),
        schema: await check(() => assertSchemaCurrent(deps.database)),
        queue: await check(() => deps.queueBackend.ping()),
        consuming: await check(() => assertConsuming(deps)),
      };
      const ready = Object.values(checks).every(({ ok }) => ok);
      // Unconfined is a choice, or told here: it makes nothing unready.
      const confinement = checks.database.ok ? await deps.daos.workers.confinement() : undefined;
      return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', checks, confinement });
    },
  );
}

/** One worker that takes nothing mends itself; when none takes anything, nothing goes on. */
async function assertConsuming({ daos }: ApiDeps): Promise<void> {
  const { living, starving, waiting } = await daos.workers.consuming();
  if (living === 0 && waiting) {
    throw new SluiceError('queue.not_consumed', 'work waits, and no worker lives', {
      retryable: true,
      facts: { living, starving },
    });
  }
  if (starving === 0 || starving < living) return;
  throw new SluiceError('queue.not_consumed', `work waits, and none of ${living} workers takes any`, {
    retryable: true,
    facts: { living, starving },
  });
}

async function check(probe: () => Promise<void>): Promise<CheckObject> {
  try {
    await probe();
    return { ok: true };
  } catch (error) {
    const known = error instanceof SluiceError;
    return { ok: false, code: known ? error.code : 'internal.error', detail: (error as Error).message };
  }
}
