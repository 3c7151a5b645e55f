import { closest, distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { type ErrorCode, type Problem, SluiceError } from './errors.ts';

/** Words of other tools, with the word that Sluice uses instead. */
const FOREIGN_WORDS: Readonly<Record<string, string>> = {
  needs: 'depends_on',
  requires: 'depends_on',
  after: 'depends_on',
  timeout: 'timeout_seconds',
  retries: 'max_retries',
  retry: 'max_retries',
  repo: 'repository',
  cmd: 'argv',
  steps: 'tasks',
  jobs: 'workstreams',
  paths_allowed: 'scope',
  checks: 'gates',
  cooldown: 'cooldown_seconds',
  threshold: 'failure_threshold',
};

/**
 * Parses the whole document or throws one error with every problem and its path; unknown keys come with a suggestion.
 */
export function parseDocument<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  { code, what }: { code: ErrorCode; what: string },
): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = firstProblems(problemsIn(parsed.error, schema));
  throw new SluiceError(code, `${what}: ${describeProblems(problems)}`, { problems });
}

const MAX_PROBLEMS = 100;

/** Returns every problem of a document with its path. */
export function problemsIn(error: z.ZodError, schema: z.ZodType): Problem[] {
  const all = error.issues.flatMap((issue): { issue: z.core.$ZodIssue; key?: string }[] =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => ({ issue, key })) : [{ issue }],
  );
  // A guess costs time, so none is made for a problem that `firstProblems` leaves out.
  return all.map(({ issue: { path, message }, key }, index) => {
    if (key === undefined) return { path: pathText(path), message };
    const meant = index < MAX_PROBLEMS ? guess(key, keysAt(schema, path)) : '';
    return { path: pathText([...path, key]), message: `unknown key${meant}` };
  });
}

/** Returns the first 100 problems, and one more that says how many were left out. */
export function firstProblems(all: readonly Problem[]): Problem[] {
  const problems = all.slice(0, MAX_PROBLEMS);
  const more = all.length - problems.length;
  return more === 0 ? problems : [...problems, { path: '', message: `and ${more} more problems` }];
}

export function describeProblems(problems: readonly Problem[]): string {
  const first = problems.slice(0, 3).map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  const more = problems.length - first.length;
  return more > 0 ? `${first.join('; ')}; and ${more} more` : first.join('; ');
}

export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    const shown = String(part).slice(0, LONGEST_WORD);
    return text === '' ? shown : `${text}.${shown}`;
  }, '');
}

/** A longer word is not a typing mistake: it gets no suggestion and is cut off in paths. */
const LONGEST_WORD = 100;

export function guess(word: string, known: readonly string[]): string {
  const foreign = FOREIGN_WORDS[word];
  if (foreign !== undefined && known.includes(foreign)) return `: did you mean ${foreign}?`;
  if (known.length === 0 || word.length > LONGEST_WORD) return '';
  const near = closest(word, known);
  return distance(word, near) <= Math.max(2, Math.floor(word.length / 3)) ? `: did you mean ${near}?` : '';
}

/** Returns the keys that an object schema knows at a path, looking through arrays, records, defaults and optionals. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let current: z.ZodType | undefined = unwrap(schema);
  for (const part of path) {
    if (current instanceof z.ZodObject) current = unwrap(current.shape[String(part)]);
    else if (current instanceof z.ZodArray) current = unwrap(current.element as z.ZodType);
    else if (current instanceof z.ZodRecord) current = unwrap(current.valueType as z.ZodType);
    else return [];
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

function unwrap(schema: z.ZodType | undefined): z.ZodType | undefined {
  let current = schema;
  while (
    current instanceof z.ZodOptional ||
    current instanceof z.ZodDefault ||
    current instanceof z.ZodNullable ||
    current instanceof z.ZodPrefault
  ) {
    current = current.unwrap() as z.ZodType;
  }
  return current;
}
