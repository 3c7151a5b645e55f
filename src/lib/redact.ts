const SHORTEST_SECRET = 6;
const LONG_LINE = 16;

/** Replaces each secret by `[redacted]`. Values shorter than six characters are left alone: they would hide everything. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const known = [...secrets, ...secrets.flatMap(linesOf)]
    .filter((secret) => secret.length >= SHORTEST_SECRET)
    .toSorted((a, b) => b.length - a.length);
  if (known.length === 0) return (text) => text;
  return (text) => known.reduce((redacted, secret) => redacted.replaceAll(secret, '[redacted]'), text);
}

/** Output comes line by line: of a key of many lines each one is a secret. */
function linesOf(secret: string): string[] {
  return secret.includes('\n') ? secret.split('\n').filter((line) => line.length >= LONG_LINE) : [];
}

export function holdsSecret(secrets: readonly string[], bytes: Buffer): boolean {
  return secrets.some((secret) => secret.length >= SHORTEST_SECRET && bytes.includes(secret));
}

/** The same value with every string in it redacted. */
export function redactDeep<T>(value: T, redact: (text: string) => string): T {
  if (typeof value === 'string') return redact(value) as T;
  if (Array.isArray(value)) return value.map((item) => redactDeep(item, redact)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redactDeep(item, redact)])) as T;
}
