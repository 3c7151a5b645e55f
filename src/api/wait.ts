import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { poll } from '../lib/clock.ts';
import type { EventFeed } from './event-feed.ts';

export const waitQuery = z.object({
  until: z.enum(['ended']).default('ended'),
  timeout_seconds: z.coerce.number().int().min(0).max(60).default(30),
});

const LOOK_EVERY_MS = 200;

/**
 * Reads a row until it has ended, the caller's time is over, the caller is gone or this process stops, and returns it as
 * it was last.
 */
export async function waitUntilEnded<Row>(
  { timeout_seconds }: z.output<typeof waitQuery>,
  { read, hasEnded }: { read: () => Promise<Row>; hasEnded: (row: Row) => boolean },
  { reply, feed }: { reply: FastifyReply; feed: EventFeed },
): Promise<{ ended: boolean; row: Row }> {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, feed.stopped]);
  let row: Row | undefined;
  const look = async (): Promise<true | undefined> => {
    row = await read();
    return hasEnded(row) || undefined;
  };
  const ended = await poll(look, { everyMs: LOOK_EVERY_MS, limitMs: timeout_seconds * 1_000, signal });
  return { ended: ended === true, row: row! };
}
