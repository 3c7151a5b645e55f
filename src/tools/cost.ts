import { StringDecoder } from 'node:string_decoder';
import { readHead } from '../lib/read-head.ts';

/** A tool's report on an attempt: its cost, and when the tool may be called again. */
export interface ToolReport {
  usd: number | null;
  retryAfterMs: number | null;
}

const MAX_REPORT_BYTES = 64 * 1024;
const MAX_LINE_CHARS = 64 * 1024;
const MAX_USD = 1_000_000;
/** Key that agents which print JSON lines use. It is a running total, so the last one counts. */
const LINE_KEY = 'total_cost_usd';

/** Reads JSON lines that hold `total_cost_usd` from a tool's standard output. */
export class CostLines {
  readonly #decoder = new StringDecoder('utf8');
  #partial = '';
  #usd: number | null = null;

  get usd(): number | null {
    this.#read(this.#partial);
    return this.#usd;
  }

  readonly hear = (stream: 'stdout' | 'stderr', bytes: Buffer): void => {
    if (stream !== 'stdout') return;
    const lines = (this.#partial + this.#decoder.write(bytes)).split('\n');
    // Keeps only the beginning of a line without an end, enough to reject it as too long.
    this.#partial = (lines.pop() ?? '').slice(0, MAX_LINE_CHARS + 1);
    for (const line of lines) this.#read(line);
  };

  #read(line: string): void {
    if (line.length > MAX_LINE_CHARS || !line.includes(LINE_KEY) || !line.startsWith('{')) return;
    this.#usd = amount(parsed(line)?.[LINE_KEY]) ?? this.#usd;
  }
}

/** Reads `{"usd": 0.42, "retry_after_seconds": 300}`; a missing, malformed or out-of-range value becomes null. */
export async function readReport(file: string): Promise<ToolReport> {
  const report = parsed(await readHead(file, MAX_REPORT_BYTES));
  const seconds = report?.retry_after_seconds;
  const waits = typeof seconds === 'number' && Number.isFinite(seconds) && seconds >= 0;
  return { usd: amount(report?.usd), retryAfterMs: waits ? Math.round(seconds * 1_000) : null };
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function amount(value: unknown): number | null {
  return typeof value === 'number' && value >= 0 && value <= MAX_USD ? value : null;
}
