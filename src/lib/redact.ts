const SHORTEST_SECRET = 6;
const LONG_LINE = 16;

/** Replaces each secret by `[redacted]`. Values shorter than six characters are left alone: they would hide everything. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const known = tellingParts(secrets).toSorted((a, b) => b.length - a.length);
  if (known.length === 0) return (text) => text;
  return (text) => known.reduce((redacted, secret) => redacted.replaceAll(secret, '[redacted]'), text);
}

function tellingParts(secrets: readonly string[]): string[] {
  return [...secrets, ...secrets.flatMap(linesOf)].filter((part) => part.length >= SHORTEST_SECRET);
}

/** Output and diffs come line by line: of a key of many lines each one is a secret, but for the frame that all keys have. */
function linesOf(secret: string): string[] {
  if (!secret.includes('\n')) return [];
  return secret.split('\n').filter((line) => line.length >= LONG_LINE && !line.startsWith('-----'));
}

/** The same of bytes, whatever they are: those that hold no secret come back as they were. */
export function redactedBytes(bytes: Buffer, secrets: readonly string[]): Buffer {
  if (!holdsSecret(secrets, bytes)) return bytes;
  const inBytes = secrets.map((secret) => Buffer.from(secret).toString('latin1'));
  return Buffer.from(redactor(inBytes)(bytes.toString('latin1')), 'latin1');
}

/** True where a secret stands in it, or a telling line of one. */
export function holdsSecret(secrets: readonly string[], bytes: Buffer): boolean {
  return tellingParts(secrets).some((part) => bytes.includes(part));
}

/** The same value with every string in it redacted. */
export function redactDeep<T>(value: T, redact: (text: string) => string): T {
  if (typeof value === 'string') return redact(value) as T;
  if (Array.isArray(value)) return value.map((item) => redactDeep(item, redact)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redactDeep(item, redact)])) as T;
}
