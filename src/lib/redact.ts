const SHORTEST_SECRET = 6;
const LONG_LINE = 16;

/**
 * Replaces each secret by `[redacted]`. Values shorter than six characters are ignored, because they match too much.
 */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const known = tellingParts(secrets).toSorted((a, b) => b.length - a.length);
  if (known.length === 0) return (text) => text;
  return (text) => known.reduce((redacted, secret) => redacted.replaceAll(secret, '[redacted]'), text);
}

function tellingParts(secrets: readonly string[]): string[] {
  const parts = [...secrets, ...secrets.flatMap(linesOf)].filter((part) => part.length >= SHORTEST_SECRET);
  return [...new Set([...parts, ...parts.flatMap(encodings)])];
}

/** Returns other common forms of a secret: hexadecimal, URL-encoded, JSON-escaped and base64. */
function encodings(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  const json = JSON.stringify(secret).slice(1, -1);
  const forms = [hex, hex.toUpperCase(), encodeURIComponent(secret), json, ...base64Forms(bytes)];
  return forms.filter((form) => form !== secret && form.length >= SHORTEST_SECRET);
}

/** Returns the base64 of the secret inside a longer text: for each of three offsets, only the unshared digits. */
function base64Forms(secret: Buffer): string[] {
  return [0, 1, 2].flatMap((offset) => {
    const shared = Math.ceil((offset * 8) / 6);
    const whole = Math.floor(((offset + secret.length) * 8) / 6);
    const text = Buffer.concat([Buffer.alloc(offset), secret])
      .toString('base64')
      .slice(shared, whole);
    return [text, text.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

/** Output and diffs arrive line by line, so each line of a multi-line key is a secret, except its common frame. */
function linesOf(secret: string): string[] {
  if (!secret.includes('\n')) return [];
  return secret.split('\n').filter((line) => line.length >= LONG_LINE && !line.startsWith('-----'));
}

/** Redacts bytes of any encoding; bytes without a secret are returned unchanged. */
export function redactedBytes(bytes: Buffer, secrets: readonly string[]): Buffer {
  if (!holdsSecret(secrets, bytes)) return bytes;
  const inBytes = secrets.map((secret) => Buffer.from(secret).toString('latin1'));
  return Buffer.from(redactor(inBytes)(bytes.toString('latin1')), 'latin1');
}

/** Both byte orders of UTF-16, which git treats as binary. */
const WIDE = [(text: string) => Buffer.from(text, 'utf16le'), (text: string) => Buffer.from(text, 'utf16le').swap16()];

/** True when the bytes contain a secret, a line of a multi-line secret, or one of their encodings. */
export function holdsSecret(secrets: readonly string[], bytes: Buffer): boolean {
  return tellingParts(secrets).some(
    (part) => bytes.includes(part) || WIDE.some((widen) => bytes.includes(widen(part))),
  );
}

/** Returns the value with every string in it redacted. */
export function redactDeep<T>(value: T, redact: (text: string) => string): T {
  if (typeof value === 'string') return redact(value) as T;
  if (Array.isArray(value)) return value.map((item) => redactDeep(item, redact)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redactDeep(item, redact)])) as T;
}
