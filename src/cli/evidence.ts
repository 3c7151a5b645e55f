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

/** Returns what the evidence of a failure says: gate, exit status, messages, files, and the last lines of the output. */
export function evidenceLines(evidence: Readonly<Record<string, unknown>> | null | undefined, limit: number): string[] {
  const { gate, exit_code, message, messages, files, output_tail: tail } = (evidence ?? {}) as Evidence;
  const head = [
    ...(typeof gate === 'string' ? [`gate ${gate}`] : []),
    ...(typeof exit_code === 'number' ? [`exit status ${exit_code}`] : []),
    ...[message, ...(Array.isArray(messages) ? messages : [])].filter((word) => typeof word === 'string'),
    ...(Array.isArray(files) && files.length > 0 ? [`files: ${files.slice(0, 10).join(', ')}`] : []),
  ];
  const output = typeof tail === 'string' ? tail.split('\n').filter((line) => line.trim() !== '') : [];
  return [...head, ...output.slice(-limit)].map((line) => plain(line));
}
