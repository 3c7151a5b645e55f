import type { TransitionCursor, TransitionDao, TransitionEvent } from '../dao/transition-dao.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';

const POLL_MS = 300;
const PAGE = 500;

/** Reads transitions for any number of listeners. Each listener has its own cursor, so none misses an event. */
export class EventFeed implements Component {
  readonly name = 'event-feed';
  readonly #transitions: TransitionDao;
  readonly #stopped = new AbortController();

  constructor(transitions: TransitionDao) {
    this.#transitions = transitions;
  }

  /** Aborts when this process stops, so that no request holds it. */
  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    this.#stopped.abort();
  }

  page(after: TransitionCursor, filter: { runId?: string | undefined; limit: number }): Promise<TransitionEvent[]> {
    return this.#transitions.readAfter(after, filter);
  }

  /**
   * Yields the events after `after` in commit order, until `signal` aborts or the feed stops. Yields an empty batch
   * when nothing is new, so that the caller can send a heartbeat.
   */
  async *follow(
    after: TransitionCursor,
    { runId, signal }: { runId?: string | undefined; signal: AbortSignal },
  ): AsyncGenerator<TransitionEvent[]> {
    const ended = AbortSignal.any([signal, this.#stopped.signal]);
    let cursor = after;
    while (!ended.aborted) {
      const events = await this.#transitions.readAfter(cursor, { runId, limit: PAGE });
      cursor = events.at(-1)?.cursor ?? cursor;
      yield events;
      if (events.length < PAGE) await sleep(POLL_MS, ended);
    }
  }
}
