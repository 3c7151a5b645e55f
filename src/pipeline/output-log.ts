import { StringDecoder } from 'node:string_decoder';
import type { Ledger } from '../ledger/ledger.ts';
import type { NewLogChunk } from '../ledger/logs.ts';
import { storableText } from '../lib/storable.ts';

type Stream = 'stdout' | 'stderr';

export interface OutputLogOptions {
  ledger: Ledger;
  taskId: string;
  gateId: string | null;
  attempt: number;
  redact: (text: string) => string;
}

const FLUSH_MS = 200;
const MAX_LINE_CHARS = 16_000;
const MAX_STORED_CHARS = 8 * 1024 * 1024;

/**
 * What a child prints, on its way into the ledger: whole lines (so that no secret is cut in two), decoded with
 * replacement, redacted, capped. A database that is away loses lines, never the task.
 */
export class OutputLog {
  readonly #options: OutputLogOptions;
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };
  readonly #partial = { stdout: '', stderr: '' };
  #chunks: NewLogChunk[] = [];
  #storedChars = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(options: OutputLogOptions) {
    this.#options = options;
  }

  readonly write = (stream: Stream, bytes: Buffer): void => {
    const text = this.#partial[stream] + this.#decoders[stream].write(bytes);
    const end = text.length > MAX_LINE_CHARS ? text.length : text.lastIndexOf('\n') + 1;
    this.#partial[stream] = text.slice(end);
    this.#add(stream, text.slice(0, end));
  };

  /** A word of our own among the child's. */
  note(text: string): void {
    this.#add('sluice', `${text}\n`);
  }

  /** Resolves when all of it is stored. */
  async end(): Promise<void> {
    for (const stream of ['stdout', 'stderr'] as const) {
      this.#add(stream, this.#partial[stream] + this.#decoders[stream].end());
      this.#partial[stream] = '';
    }
    this.#flush();
    await this.#writing;
  }

  #add(stream: NewLogChunk['stream'], text: string): void {
    if (text === '' || this.#storedChars > MAX_STORED_CHARS) return;
    this.#storedChars += text.length;
    const { taskId, gateId, attempt, redact } = this.#options;
    const last = this.#chunks.at(-1);
    const stored = storableText(redact(text));
    if (last?.stream === stream) last.text += stored;
    else this.#chunks.push({ task_id: taskId, gate_id: gateId, attempt, stream, text: stored });
    if (this.#storedChars > MAX_STORED_CHARS) this.#chunks.push(this.#capNote());
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  #capNote(): NewLogChunk {
    const { taskId, gateId, attempt } = this.#options;
    const text = `more than ${MAX_STORED_CHARS} characters: the rest is not kept\n`;
    return { task_id: taskId, gate_id: gateId, attempt, stream: 'sluice', text };
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
