import { EventSourceParserStream } from 'eventsource-parser/stream';
import { ERROR_CODES, type ErrorCode, type Problem, SluiceError } from '../contract/errors.ts';
import { fullJitterMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import { tokenFor } from './local-token.ts';

export interface ClientOptions {
  /** Address of the daemon, as in `http://127.0.0.1:7411`. */
  url: string;
  /** Default: SLUICE_TOKEN, or for a daemon on this machine the token in its data folder (SLUICE_DATA_DIR). */
  token?: string | undefined;
  /** Times that a call is repeated which may be: reads, and submissions with a key. Default: 3; 0 for none. */
  retries?: number | undefined;
}

export interface Call {
  method?: 'GET' | 'POST' | 'DELETE' | undefined;
  query?: Readonly<Record<string, string | number | boolean | undefined>>;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal | undefined;
}

/** Bytes whose `toString` reads them as UTF-8. */
export type Bytes = Uint8Array<ArrayBuffer> & { toString(): string };

export interface StreamMessage {
  id: string;
  event: string;
  data: unknown;
}

const REPEAT = { baseMs: 200, capMs: 2_000 };
const RECONNECT = { baseMs: 200, capMs: 5_000 };
const MAX_RECONNECTS = 60;

/**
 * Sends requests to one daemon. Throws errors of the API as SluiceError with their code, and `daemon.unreachable` when
 * no daemon answers.
 */
export class Http {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  async json<T>(path: string, call: Call = {}): Promise<T> {
    return this.#repeated(call, async () => {
      const response = await this.#requestOnce(path, call);
      if (response.status === 204) return undefined as T;
      const text = await response.text().catch((cause: unknown) => {
        const message = `the answer from ${this.#options.url} was cut off`;
        throw new SluiceError('daemon.unreachable', message, { retryable: true, cause });
      });
      try {
        return JSON.parse(text) as T;
      } catch (cause) {
        const message = `the answer from ${this.#options.url} is not JSON: is a Sluice daemon running there?`;
        throw new SluiceError('daemon.unreachable', message, { cause });
      }
    });
  }

  async bytes(path: string, call: Call = {}): Promise<Bytes> {
    const bytes = new Uint8Array(await (await this.request(path, call)).arrayBuffer());
    return Object.assign(bytes, { toString: () => new TextDecoder().decode(bytes) });
  }

  request(path: string, call: Call): Promise<Response> {
    return this.#repeated(call, () => this.#requestOnce(path, call));
  }

  /** Repeats a call that failed for a while only, where it may be made twice. */
  async #repeated<T>({ method = 'GET', headers, signal }: Call, make: () => Promise<T>): Promise<T> {
    const { retries = 3 } = this.#options;
    const mayRepeat = method === 'GET' || headers?.['idempotency-key'] !== undefined;
    for (let tries = 1; ; tries += 1) {
      try {
        return await make();
      } catch (error) {
        const passes = error instanceof SluiceError && error.retryable;
        if (!passes || !mayRepeat || tries > retries) throw error;
        if (!(await sleep(fullJitterMs(REPEAT, tries), signal))) throw error;
      }
    }
  }

  async #requestOnce(
    path: string,
    { method = 'GET', query = {}, body, headers = {}, signal }: Call,
  ): Promise<Response> {
    const { url, ...prepared } = this.#prepare(path, { query, body, headers });
    let response: Response;
    try {
      response = await fetch(url, { method, signal: signal ?? null, ...prepared });
    } catch (cause) {
      if (signal?.aborted) throw cause;
      const message = `no daemon answers at ${this.#options.url}`;
      throw new SluiceError('daemon.unreachable', message, { retryable: true, cause });
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  /**
   * Throws `usage.invalid` if the request cannot be built: that is the caller's mistake and must not look like an
   * absent daemon.
   */
  #prepare(path: string, { query = {}, body, headers = {} }: Pick<Call, 'query' | 'body' | 'headers'>) {
    const { url: base, token = tokenFor(base, globalThis.process?.env ?? {}) } = this.#options;
    try {
      const url = new URL(path, base);
      for (const [name, value] of Object.entries(query)) {
        if (value !== undefined) url.searchParams.set(name, String(value));
      }
      const sent = new Headers(headers);
      if (token !== undefined) sent.set('authorization', `Bearer ${token}`);
      if (body !== undefined) sent.set('content-type', 'application/json');
      return { url, headers: sent, body: body === undefined ? null : JSON.stringify(body) };
    } catch (cause) {
      throw new SluiceError('usage.invalid', `the request cannot be built: ${(cause as Error).message}`, { cause });
    }
  }

  /**
   * Yields server-sent events. Reconnects after a cut and resumes after the last event. Ends when the server ends the
   * stream or `signal` aborts.
   */
  async *stream(path: string, { query, signal }: Pick<Call, 'query' | 'signal'> = {}): AsyncGenerator<StreamMessage> {
    let lastId: string | undefined;
    let connected = false;
    for (let cuts = 0; cuts <= MAX_RECONNECTS; ) {
      try {
        const headers = { accept: 'text/event-stream', ...(lastId === undefined ? {} : { 'last-event-id': lastId }) };
        const asked = { query: { ...query, ...after(query, lastId) }, headers, signal };
        const response = await this.#requestOnce(path, asked);
        connected = true;
        const events = response.body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
        for await (const { id, event, data } of events) {
          lastId = id ?? lastId;
          cuts = 0;
          yield { id: id ?? '', event: event ?? 'message', data: JSON.parse(data) };
        }
        return;
      } catch (error) {
        if (signal?.aborted) return;
        // Reconnects only if the daemon has answered before; otherwise it is taken for absent.
        const again = connected && (!(error instanceof SluiceError) || error.retryable);
        cuts += 1;
        if (!again || cuts > MAX_RECONNECTS) throw error;
        await sleep(fullJitterMs(RECONNECT, cuts), signal);
      }
    }
  }
}

/** Returns the parameter `after`, by which log streams resume. Event streams resume by the header Last-Event-ID. */
function after(query: Call['query'], lastId: string | undefined): { after?: string } {
  return lastId !== undefined && query?.follow === true ? { after: lastId } : {};
}

async function problemOf(response: Response): Promise<SluiceError> {
  const problem = (await response.json().catch(() => ({}))) as {
    code?: string;
    detail?: string;
    retryable?: boolean;
    errors?: Problem[];
    facts?: Record<string, unknown>;
  };
  const code =
    problem.code !== undefined && problem.code in ERROR_CODES ? (problem.code as ErrorCode) : 'internal.error';
  return new SluiceError(code, problem.detail ?? `the daemon answered ${response.status}`, {
    retryable: problem.retryable,
    problems: problem.errors,
    facts: problem.facts,
  });
}
