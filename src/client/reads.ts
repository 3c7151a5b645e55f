import type { LogObject, Page } from '../contract/answers.ts';
import type { Http } from './http.ts';

export interface ListOptions {
  limit?: number | undefined;
  cursor?: string | undefined;
}
export interface LogOptions {
  follow?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface WaitOptions {
  /** For ever by default. */
  timeoutSeconds?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Longest wait of one request. */
const WAIT_AT_ONCE_SECONDS = 30;

/** Reads of one collection. */
export class Reads<Whole, Listed, Filter extends object> {
  protected readonly http: Http;
  readonly #path: string;

  constructor(http: Http, collection: string) {
    this.http = http;
    this.#path = `/v1/${collection}`;
  }

  get(id: string): Promise<Whole> {
    return this.http.json(this.pathOf(id));
  }

  /** Returns one page. Targets and breakers come ordered by id, all other objects newest first. */
  list(options: ListOptions & Filter = {} as Filter): Promise<Page<Listed>> {
    return this.http.json(this.#path, { query: { ...(options as Record<string, string | number | undefined>) } });
  }

  /** Yields every object that matches, page after page. */
  async *all(options: Omit<ListOptions, 'cursor'> & Filter = {} as Filter): AsyncGenerator<Listed, void, undefined> {
    let cursor: string | undefined;
    do {
      const page: Page<Listed> = await this.list({ ...options, cursor } as ListOptions & Filter);
      yield* page.items;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  protected pathOf(id: string, below = ''): string {
    return `${this.#path}/${encodeURIComponent(id)}${below}`;
  }

  /** Asks again until the object has ended, or `timeoutSeconds` are over; each request waits at the daemon. */
  protected async untilEnded<Waited extends { ended: boolean }>(id: string, options: WaitOptions): Promise<Waited> {
    const { timeoutSeconds = Number.POSITIVE_INFINITY, signal } = options;
    const endsAt = performance.now() + 1_000 * timeoutSeconds;
    while (true) {
      const left = Math.ceil((endsAt - performance.now()) / 1_000);
      const query = { timeout_seconds: Math.max(0, Math.min(WAIT_AT_ONCE_SECONDS, left)) };
      const waited: Waited = await this.http.json(this.pathOf(id, '/wait'), { query, signal });
      if (waited.ended || performance.now() >= endsAt) return waited;
    }
  }

  protected async *readLogs(id: string, { follow = false, signal }: LogOptions): AsyncGenerator<LogObject> {
    const path = this.pathOf(id, '/logs');
    if (follow) {
      for await (const { data } of this.http.stream(path, { query: { follow: true }, signal })) yield data as LogObject;
      return;
    }
    let after: string | null = '0';
    while (after !== null) {
      const page: Page<LogObject> = await this.http.json(path, { query: { after }, signal });
      yield* page.items;
      after = page.next_cursor;
    }
  }
}
