import { StringDecoder } from 'node:string_decoder';
import type { NewLogChunk } from '../../ledger/attempts/logs.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { redactor } from '../../lib/redact.ts';
import { storableText } from '../../lib/storable.ts';

type Stream = 'stdout' | 'stderr';

export interface OutputLogOptions {
  ledger: Ledger;
  taskId: string;
  gateId: string | null;
  attempt: number;
  workerId: string;
  /** Values that must not be stored. */
  secrets: readonly string[];
}

/** With the reader's poll, a printed line reaches a reader that follows in less than 500 ms. */
const FLUSH_MS = 100;
const MAX_LINE_CHARS = 16_000;
/** Stored of each attempt: this much from its beginning while it runs, and this much from its end when it has ended. */
const HEAD_CHARS = 4 * 1024 * 1024;
const TAIL_CHARS = 1024 * 1024;

/**
 * Writes a child's output to the ledger: whole lines (so that no secret is cut in two), decoded with replacement,
 * redacted. Of longer output only the head and the tail are kept. An outage of the database loses lines, never the
 * task.
 */
export class OutputLog {
  readonly #options: OutputLogOptions;
  readonly #redact: (text: string) => string;
  readonly #longestSecret: number;
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };
  readonly #partial = { stdout: '', stderr: '' };
  readonly #tail = new Tail();
  #chunks: NewLogChunk[] = [];
  #storedChars = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(options: OutputLogOptions) {
    this.#options = options;
    this.#redact = redactor(options.secrets);
    this.#longestSecret = Math.max(0, ...options.secrets.map((secret) => secret.length));
  }

  readonly write = (stream: Stream, bytes: Buffer): void => {
    let text = this.#partial[stream] + this.#decoders[stream].write(bytes);
    let end = text.lastIndexOf('\n') + 1;
    if (text.length - end > MAX_LINE_CHARS) {
      // Whole secrets are redacted first; text that could be the beginning of one is kept back for the rest.
      text = this.#redact(text);
      end = Math.max(0, text.length - this.#longestSecret);
    }
    this.#partial[stream] = text.slice(end);
    this.#add(stream, text.slice(0, end));
  };

  /** Flushes the rest, and resolves when the last write has ended. */
  async end(): Promise<void> {
    for (const stream of ['stdout', 'stderr'] as const) {
      this.#add(stream, this.#partial[stream] + this.#decoders[stream].end());
      this.#partial[stream] = '';
    }
    if (this.#tail.droppedChars > 0) this.#store('sluice', `… ${this.#tail.droppedChars} characters are left out …\n`);
    for (const [stream, text] of this.#tail.take()) this.#store(stream, text);
    this.#flush();
    await this.#writing;
  }

  #add(stream: Stream, text: string): void {
    if (text === '') return;
    const redacted = storableText(this.#redact(text));
    if (this.#storedChars >= HEAD_CHARS) {
      this.#tail.add(stream, redacted);
      return;
    }
    this.#storedChars += redacted.length;
    this.#store(stream, redacted);
    if (this.#storedChars >= HEAD_CHARS) {
      this.#store(
        'sluice',
        `more than ${HEAD_CHARS} characters: of the rest only the end is shown, when the command has ended\n`,
      );
    }
  }

  #store(stream: NewLogChunk['stream'], text: string): void {
    const { taskId, gateId, attempt, workerId } = this.#options;
    const last = this.#chunks.at(-1);
    if (last?.stream === stream) last.text += text;
    else this.#chunks.push({ task_id: taskId, gate_id: gateId, attempt, worker_id: workerId, stream, text });
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const chunks = this.#chunks;
    this.#chunks = [];
    if (chunks.length === 0) return;
    this.#writing = this.#writing.then(() => this.#options.ledger.appendLogs(chunks)).catch(() => {});
  }
}

/** Keeps the end of the output, in the pieces in which it came. */
class Tail {
  #pieces: [Stream, string][] = [];
  #chars = 0;
  droppedChars = 0;

  add(stream: Stream, text: string): void {
    this.#pieces.push([stream, text]);
    this.#chars += text.length;
    while (this.#chars - this.#pieces[0]![1].length >= TAIL_CHARS) {
      const [, dropped] = this.#pieces.shift()!;
      this.#chars -= dropped.length;
      this.droppedChars += dropped.length;
    }
  }

  take(): [Stream, string][] {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#chars = 0;
    return pieces;
  }
}
