const PLACEHOLDER = /\{input\.([A-Za-z0-9_.-]+)\}/g;

/**
 * Fills `{input.a.b}` in one argument. A value that is not a string is inserted as JSON. A missing one becomes an empty
 * string, but validation refuses it before.
 */
export function fillPlaceholders(template: string, input: Readonly<Record<string, unknown>>): string {
  return template.replace(PLACEHOLDER, (_all, path: string) => {
    const value = valueAt(input, path);
    if (value === undefined) return '';
    return typeof value === 'string' ? value : JSON.stringify(value);
  });
}

/** Returns undefined when there is nothing at that path. */
export function valueAt(input: Readonly<Record<string, unknown>>, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((found, key) => (isRecord(found) && Object.hasOwn(found, key) ? found[key] : undefined), input);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Returns the paths below `input` that templates name: `a.b` of `{input.a.b}`. */
export function placeholdersIn(templates: readonly string[]): string[] {
  return [...new Set(templates.flatMap((template) => [...template.matchAll(PLACEHOLDER)].map(([, path]) => path!)))];
}
