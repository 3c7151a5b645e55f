const SHORTEST_SECRET = 6;

/** Replaces each secret by `[redacted]`. Values shorter than six characters are left alone: they would hide everything. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const known = secrets.filter((secret) => secret.length >= SHORTEST_SECRET).toSorted((a, b) => b.length - a.length);
  if (known.length === 0) return (text) => text;
  return (text) => known.reduce((redacted, secret) => redacted.replaceAll(secret, '[redacted]'), text);
}

export function holdsSecret(secrets: readonly string[], bytes: Buffer): boolean {
  return secrets.some((secret) => secret.length >= SHORTEST_SECRET && bytes.includes(secret));
}
