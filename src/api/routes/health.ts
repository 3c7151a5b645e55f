import { z } from 'zod';
import { readiness } from '../../contract/answers.ts';
import { SluiceError } from '../../contract/errors.ts';
import { assertSchemaCurrent } from '../../database/migrator.ts';
import { probe } from '../../monitor/probe.ts';
import type { Api, ApiDeps } from '../api-deps.ts';

const alive = z.strictObject({ status: z.literal('ok') });

export function healthRoutes(api: Api, deps: ApiDeps): void {
  const open = { config: { scope: 'none' } } as const;
  api.get(
    '/healthz',
    {
      ...open,
      schema: {
        operationId: 'getLiveness',
        description: 'The process answers requests.',
        tags: ['health'],
        response: { 200: alive },
      },
    },
    async () => ({
      status: 'ok' as const,
    }),
  );

  api.get(
    '/readyz',
    {
      ...open,
      schema: {
        operationId: 'getReadiness',
        description: 'Whether the database, its schema and the queue are usable, and workers take waiting work.',
        tags: ['health'],
        response: { 200: readiness, 503: readiness },
      },
    },
    async (_request, reply) => {
      const checks = {
        database: await probe(() => deps.database.ping()),
        schema: await probe(() => assertSchemaCurrent(deps.database)),
        queue: await probe(() => deps.queueBackend.ping()),
        consuming: await probe(() => assertConsuming(deps)),
      };
      const ready = Object.values(checks).every(({ ok }) => ok);
      // Reported only: running unconfined may be the choice of the operator, so it makes nothing unready.
      const confinement = checks.database.ok ? await deps.daos.workers.confinement() : undefined;
      return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', checks, confinement });
    },
  );
}

/**
 * Throws when no worker takes waiting work. A single starving worker is tolerated, because it reconnects to the queue
 * by itself.
 */
async function assertConsuming({ daos }: ApiDeps): Promise<void> {
  const { living, starving, waiting } = await daos.workers.consuming();
  if (living === 0 && waiting) {
    throw new SluiceError('queue.not_consumed', 'work is waiting, and no worker is running', {
      retryable: true,
      facts: { living, starving },
    });
  }
  if (starving === 0 || starving < living) return;
  throw new SluiceError('queue.not_consumed', `work is waiting, and none of the ${living} running workers takes any`, {
    retryable: true,
    facts: { living, starving },
  });
}
