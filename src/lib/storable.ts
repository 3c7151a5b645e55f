/** Removes NUL and replaces lone surrogates, because PostgreSQL refuses both in text and jsonb. */
export function storableText(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}

/** Returns JSON that PostgreSQL accepts as jsonb. */
export function storableJson(value: unknown): string {
  return JSON.stringify(value, (_key, part) => (typeof part === 'string' ? storableText(part) : part));
}
