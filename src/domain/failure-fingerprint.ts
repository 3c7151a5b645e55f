import { createHash } from 'node:crypto';

/** Fields of the evidence that describe the problem; the other fields only identify the occasion. */
const WORDS = ['gate', 'step', 'output_tail', 'messages', 'message', 'path', 'paths'];
/** Evidence without any of these fields has nothing to compare. */
const TELLING = ['output_tail', 'messages', 'message', 'path', 'paths'];

/**
 * Returns the same fingerprint for failures with the same reason and the same words, ignoring numbers, ids, times and
 * colours. Null when there are no words to compare.
 */
export function failureFingerprint({
  reason,
  evidence,
}: {
  reason: string;
  evidence: Readonly<Record<string, unknown>>;
}): string | null {
  const words = Object.entries(evidence)
    .filter(([key]) => WORDS.includes(key))
    .map(([key, value]) => [key, normalized(typeof value === 'string' ? value : JSON.stringify(value))] as const)
    .filter(([, text]) => /\p{L}/u.test(text));
  if (!words.some(([key]) => TELLING.includes(key))) return null;
  return createHash('sha256')
    .update(JSON.stringify([reason, words]))
    .digest('hex')
    .slice(0, 32);
}

function normalized(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what colours begin with.
      .replaceAll(/\u001b\[[0-9;]*[A-Za-z]/g, '')
      .replaceAll(/\b(run|ws|task|wrk|patch|gate|brk)_[0-9a-z]{26}\b/g, '#')
      .replaceAll(/\b[0-9a-f]{7,64}\b/gi, '#')
      .replaceAll(/\d+(\.\d+)?/g, '#')
      .replaceAll(/\s+/g, ' ')
      .trim()
  );
}
