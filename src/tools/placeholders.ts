const PLACEHOLDER = /\{input\.([A-Za-z0-9_.-]+)\}/g;

/** Puts `{input.a.b}` into one argument. A value that is no string goes in as JSON; a missing one as nothing. */
export function fillPlaceholders(template: string, input: Readonly<Record<string, unknown>>): string {
  return template.replace(PLACEHOLDER, (_all, path: string) => {
    const value = path
      .split('.')
      .reduce<unknown>((found, key) => (isRecord(found) && Object.hasOwn(found, key) ? found[key] : undefined), input);
    if (value === undefined) return '';
    return typeof value === 'string' ? value : JSON.stringify(value);
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
