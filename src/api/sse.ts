import { once } from 'node:events';
import type { FastifyReply } from 'fastify';
import type { EventObject } from '../contract/answers.ts';
import type { TransitionEvent } from '../dao/transition-dao.ts';

const BEAT_EVERY_MS = 10_000;

export interface SseMessage {
  id: string;
  event: string;
  data: unknown;
}

/**
 * Writes batches as server-sent events until the source ends or the client disconnects. Sends a comment as a heartbeat
 * when batches have been empty for 10 s.
 */
export async function sendEvents(reply: FastifyReply, source: AsyncIterable<readonly SseMessage[]>): Promise<void> {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
  });
  raw.write(': open\n\n');
  let lastWrite = performance.now();
  try {
    await pump();
    raw.end();
  } catch (error) {
    // The status line has been sent, so cutting the connection is the only way to report an error. Clients resume from
    // their last event.
    raw.destroy(error as Error);
  }

  async function pump(): Promise<void> {
    for await (const batch of source) {
      if (raw.destroyed) return;
      let text = batch.map(formatMessage).join('');
      if (text === '' && performance.now() - lastWrite > BEAT_EVERY_MS) text = ': beat\n\n';
      if (text === '') continue;
      lastWrite = performance.now();
      // Backpressure: a slow reader delays only its own stream, and no output is buffered for it.
      if (!raw.write(text)) await Promise.race([once(raw, 'drain'), once(raw, 'close')]);
    }
  }
}

export async function* asMessages(
  batches: AsyncIterable<readonly TransitionEvent[]>,
): AsyncGenerator<readonly SseMessage[]> {
  for await (const batch of batches) yield batch.map(toMessage);
}

/** Names the event after the kind of object and its new state, as in `run.RUNNING` or `patch.STAGED`. */
function toMessage(event: TransitionEvent): SseMessage {
  return { id: event.cursor, event: `${event.kind}.${event.to_state}`, data: toEvent(event) };
}

export function toEvent({ cursor, ...event }: TransitionEvent): EventObject {
  return { id: cursor, ...event };
}

function formatMessage({ id, event, data }: SseMessage): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
