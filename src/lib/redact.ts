const SHORTEST_SECRET = 6;
const LONG_LINE = 16;

/** Replaces each secret by `[redacted]`. Values shorter than six characters are left alone: they would hide everything. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const known = tellingParts(secrets).toSorted((a, b) => b.length - a.length);
  if (known.length === 0) return (text) => text;
  return (text) => known.reduce((redacted, secret) => redacted.replaceAll(secret, '[redacted]'), text);
}

function tellingParts(secrets: readonly string[]): string[] {
  const parts = [...secrets, ...secrets.flatMap(linesOf)].filter((part) => part.length >= SHORTEST_SECRET);
  return [...new Set([...parts, ...parts.flatMap(encodings)])];
}

/** Other forms in which a secret commonly appears: hexadecimal, URL-encoded, JSON-escaped and base64. */
function encodings(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  const json = JSON.stringify(secret).slice(1, -1);
  const forms = [hex, hex.toUpperCase(), encodeURIComponent(secret), json, ...base64Forms(bytes)];
  return forms.filter((form) => form !== secret && form.length >= SHORTEST_SECRET);
}

/** Base64 of the secret where it stands in a longer text: at each of three offsets, without the digits that it shares. */
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

/** UTF-16, either way round: text to its readers, binary to git. */
const WIDE = [(text: string) => Buffer.from(text, 'utf16le'), (text: string) => Buffer.from(text, 'utf16le').swap16()];

/** True where a secret stands in it, in whatever encoding, or a telling line of one. */
export function holdsSecret(secrets: readonly string[], bytes: Buffer): boolean {
  return tellingParts(secrets).some(
    (part) => bytes.includes(part) || WIDE.some((widen) => bytes.includes(widen(part))),
  );
}

/** The same value with every string in it redacted. */
export function redactDeep<T>(value: T, redact: (text: string) => string): T {
  if (typeof value === 'string') return redact(value) as T;
  if (Array.isArray(value)) return value.map((item) => redactDeep(item, redact)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redactDeep(item, redact)])) as T;
}
