import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type LogObject, logObject, type Page } from '../contract/answers.ts';
import { SluiceError } from '../contract/errors.ts';
import type { LogChunkRow } from '../entities/log-chunk.ts';
import { sleep } from '../lib/clock.ts';

import { pageOrStreamOf } from './schemas.ts';
import { type SseMessage, sendEvents } from './sse.ts';

const CURSOR = /^\d{1,18}$/;

export const logQuery = z.object({
  after: z.string().max(20).default('0').describe('The id of the last chunk that was read.'),
  limit: z.coerce.number().int().min(1).max(1_000).default(500),
  follow: z.stringbool().default(false),
});

/** A page of chunks. With `follow` the chunks are sent as server-sent events instead. */
export const logResponse = { 200: pageOrStreamOf(logObject) };

export interface LogSource {
  read: (after: string, limit: number) => Promise<LogChunkRow[]>;
  /** `cut_short`: another process ended it, and the child's last output may not be stored yet. */
  ending: () => Promise<'open' | 'ended' | 'cut_short'>;
}

const POLL_MS = 150;
/** Grace of a cancelled child between SIGTERM and SIGKILL (1 s), and time to store its last output (1 s). */
const LAST_WORDS_MS = 2_000;

/** Answers one page as JSON or, with `follow`, sends every chunk until the task or gate has ended. */
export async function logAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  query: z.output<typeof logQuery>,
  source: LogSource,
): Promise<Page<LogObject> | undefined> {
  if (!CURSOR.test(query.after)) {
    throw new SluiceError('cursor.invalid', `after: ${query.after} is no id of a chunk`);
  }
  if (!query.follow) {
    const chunks = await source.read(query.after, query.limit);
    return { items: chunks.map(chunkObject), next_cursor: chunks.at(-1)?.chunk_id ?? null };
  }
  const closed = new AbortController();
  request.raw.once('close', () => closed.abort());
  await sendEvents(reply, follow(source, query, closed.signal));
  return undefined;
}

/** Checks whether the source has ended before each read, so that the last chunks are never missed. */
async function* follow(
  source: LogSource,
  { after, limit }: { after: string; limit: number },
  signal: AbortSignal,
): AsyncGenerator<SseMessage[]> {
  let cursor = after;
  let cutShortAt: number | undefined;
  while (!signal.aborted) {
    const ending = await source.ending();
    if (ending === 'cut_short') cutShortAt ??= performance.now();
    const ended = ending === 'ended' || performance.now() - (cutShortAt ?? Number.POSITIVE_INFINITY) > LAST_WORDS_MS;
    const chunks = await source.read(cursor, limit);
    cursor = chunks.at(-1)?.chunk_id ?? cursor;
    yield chunks.map((chunk) => ({ id: chunk.chunk_id, event: 'log', data: chunkObject(chunk) }));
    if (ended && chunks.length < limit) return;
    if (chunks.length < limit) await sleep(POLL_MS, signal);
  }
}

function chunkObject({ chunk_id, attempt, stream, text, created_at }: LogChunkRow): LogObject {
  return { id: chunk_id, attempt, stream, text, created_at: created_at.toISOString() };
}
