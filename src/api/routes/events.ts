import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type EventObject, eventObject, type Page } from '../../contract/answers.ts';
import { SluiceError } from '../../contract/errors.ts';
import type { Api, ApiDeps } from '../api-deps.ts';

import { pageOrStreamOf } from '../schemas.ts';
import { asMessages, sendEvents, toEvent } from '../sse.ts';

const CURSOR = /^\d{1,18}-\d{1,18}$/;
const query = z.object({
  after: z.string().max(40).default('0-0').describe('The id of the last event that was read.'),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});

/** Wins over `after`, because clients of server-sent events send it when they reconnect. */
const resumeHeader = z.looseObject({ 'last-event-id': z.string().max(40).optional() });

export function eventRoutes(api: Api, deps: ApiDeps): void {
  api.get(
    '/v1/events',
    {
      config: { problems: ['cursor.invalid'] },
      schema: {
        operationId: 'listEvents',
        description:
          'State transitions of all objects, in commit order. Server-sent events with the SSE Accept header, JSON pages without.',
        tags: ['events'],
        querystring: query,
        headers: resumeHeader,
        response: { 200: pageOrStreamOf(eventObject) },
      },
    },
    (request, reply) => answer(deps, { request, reply, ...request.query }),
  );
  api.get(
    '/v1/runs/:id/events',
    {
      config: { problems: ['entity.not_found', 'cursor.invalid'] },
      schema: {
        operationId: 'listEventsOfRun',
        description: 'State transitions of a run. Server-sent events with the SSE Accept header, JSON pages without.',
        tags: ['events'],
        params: z.object({ id: z.string() }),
        querystring: query,
        headers: resumeHeader,
        response: { 200: pageOrStreamOf(eventObject) },
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
  const after = typeof resumed === 'string' && resumed !== '' ? resumed : call.after;
  if (!CURSOR.test(after)) throw new SluiceError('cursor.invalid', `${after} is no id of an event`);
  if (!(request.headers.accept ?? '').includes('text/event-stream')) {
    const events = await feed.page(after, { runId, limit });
    return { items: events.map(toEvent), next_cursor: events.at(-1)?.cursor ?? after };
  }
  const closed = new AbortController();
  request.raw.once('close', () => closed.abort());
  await sendEvents(reply, asMessages(feed.follow(after, { runId, signal: closed.signal })));
  return undefined;
}
