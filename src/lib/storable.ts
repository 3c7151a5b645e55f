/** What PostgreSQL refuses in text and jsonb goes: NUL, and lone surrogates. */
export function storableText(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}

/** JSON that PostgreSQL takes as jsonb, whatever its strings hold. */
export function storableJson(value: unknown): string {
  return JSON.stringify(value, (_key, part) => (typeof part === 'string' ? storableText(part) : part));
}
