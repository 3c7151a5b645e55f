import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type EventObject, eventObject, type Page, pageOf } from '../../contract/answers.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { PROBLEMS } from '../schemas.ts';
import { asMessages, sendEvents, toEvent } from '../sse.ts';

const CURSOR = /^\d{1,18}-\d{1,18}$/;
const query = z.object({
  after: z.string().regex(CURSOR).default('0-0'),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});

export function eventRoutes(api: Api, deps: ApiDeps): void {
  api.get(
    '/v1/events',
    {
      schema: {
        description:
          'State transitions of all objects, in commit order. Server-sent events with the SSE Accept header, JSON pages without.',
        tags: ['events'],
        querystring: query,
        response: { 200: pageOf(eventObject), ...PROBLEMS },
      },
    },
    (request, reply) => answer(deps, { request, reply, ...request.query }),
  );
  api.get(
    '/v1/runs/:id/events',
    {
      schema: {
        description: 'State transitions of a run. Server-sent events with the SSE Accept header, JSON pages without.',
        tags: ['events'],
        params: z.object({ id: z.string() }),
        querystring: query,
        response: { 200: pageOf(eventObject), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { run_id: runId } = await deps.daos.runs.get(request.params.id);
      return answer(deps, { request, reply, runId, ...request.query });
    },
  );
}

async function answer(
  { feed }: ApiDeps,
  call: { request: FastifyRequest; reply: FastifyReply; runId?: string | undefined; after: string; limit: number },
): Promise<Page<EventObject> | undefined> {
  const { request, reply, runId, limit } = call;
  const resumed = request.headers['last-event-id'];
  const after = typeof resumed === 'string' && CURSOR.test(resumed) ? resumed : call.after;
  if (!(request.headers.accept ?? '').includes('text/event-stream')) {
    const events = await feed.page(after, { runId, limit });
    return { items: events.map(toEvent), next_cursor: events.at(-1)?.cursor ?? after };
  }
  const closed = new AbortController();
  request.raw.once('close', () => closed.abort());
  await sendEvents(reply, asMessages(feed.follow(after, { runId, signal: closed.signal })));
  return undefined;
}
