import { z } from 'zod';
import { statistics } from '../../contract/answers.ts';
import { capacity } from '../../ledger/attempts/admission.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { Metrics } from '../metrics.ts';

export function statsRoutes(api: Api, deps: ApiDeps): void {
  const { database, daos } = deps;
  const metrics = new Metrics(deps);
  api.get('/metrics', { schema: { hide: true } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  );

  api.get(
    '/v1/stats',
    {
      schema: {
        operationId: 'getStatistics',
        description:
          'Waiting work, its age and slots in use by pool (for autoscalers), and repairs by cause within the window; a healthy fleet has none.',
        tags: ['fleet'],
        querystring: z.object({
          window_seconds: z.coerce
            .number()
            .int()
            .min(1)
            .max(30 * 86_400)
            .default(3_600),
        }),
        response: { 200: statistics },
      },
    },
    async ({ query: { window_seconds } }) => ({
      pools: await poolStats(window_seconds),
      window_seconds,
      repairs: await daos.transitions.countRepairs(window_seconds),
      refused_writes: await daos.workers.countRefusedWrites(),
    }),
  );

  async function poolStats(windowSeconds: number) {
    const tasks = await capacity(database, 'task');
    const gates = await capacity(database, 'gate');
    const depth = await daos.tasks.depthByPool();
    const gatesWaiting = await daos.gates.waitingByPool();
    const ended = await daos.tasks.endedByPool(windowSeconds);
    const pools = [
      ...new Set([...tasks, ...gates, ...depth, ...gatesWaiting, ...ended].map(({ pool }) => pool)),
    ].toSorted();
    return pools.map((pool) => {
      const waiting = depth.find((found) => found.pool === pool);
      const task = tasks.find((found) => found.pool === pool);
      const gate = gates.find((found) => found.pool === pool);
      return {
        pool,
        tasks_waiting: waiting?.waiting ?? 0,
        oldest_waiting_seconds: waiting?.oldest_seconds ?? 0,
        tasks_in_flight: task?.in_flight ?? 0,
        task_slots: task?.slots ?? 0,
        gates_waiting: gatesWaiting.find((found) => found.pool === pool)?.waiting ?? 0,
        gates_in_flight: gate?.in_flight ?? 0,
        gate_slots: gate?.slots ?? 0,
        tasks_ended: Object.fromEntries(ended.filter((found) => found.pool === pool).map(({ state, n }) => [state, n])),
      };
    });
  }
}
