import { plain } from './table.ts';

/** Parts of the evidence of a failure that say what happened, for people. */
interface Evidence {
  gate?: unknown;
  exit_code?: unknown;
  message?: unknown;
  messages?: unknown;
  files?: unknown;
  output_tail?: unknown;
}

/** Words of a line that tells what failed, in the languages of the usual test runners, compilers and linters. */
const TELLING =
  /\b(error|fail(ed|ure|ures|s|ing)?|assert\w*|\w*exception|\w*error|panic(ked)?|traceback|not ok)\b|[✖✗×✘]/i;
/** Counts of a summary in which nothing failed. */
const NOTHING_FAILED = /\b0 (errors?|fail\w*)|\b(errors?|fail\w*)\s*[:=]?\s*0\b/i;

/**
 * Returns what the evidence of a failure says: gate, exit status, messages, files, and the output from the first line
 * that tells of a failure, or its last lines where none does.
 */
export function evidenceLines(evidence: Readonly<Record<string, unknown>> | null | undefined, limit: number): string[] {
  const { gate, exit_code, message, messages, files, output_tail: tail } = (evidence ?? {}) as Evidence;
  const head = [
    ...(typeof gate === 'string' ? [`gate ${gate}`] : []),
    ...(typeof exit_code === 'number' ? [`exit status ${exit_code}`] : []),
    ...[message, ...(Array.isArray(messages) ? messages : [])].filter((word) => typeof word === 'string'),
    ...(Array.isArray(files) && files.length > 0 ? [`files: ${files.slice(0, 10).join(', ')}`] : []),
  ];
  const output = typeof tail === 'string' ? tail.split('\n').filter((line) => line.trim() !== '') : [];
  const telling = output.findIndex((line) => TELLING.test(line) && !NOTHING_FAILED.test(line));
  const shown = telling < 0 ? output.slice(-limit) : output.slice(telling, telling + limit);
  return [...head, ...shown].map((line) => plain(line));
}
