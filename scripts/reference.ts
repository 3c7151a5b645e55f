import { z } from 'zod';
import { configSchema } from '../src/contract/config-schema.ts';
import { policySchema } from '../src/contract/policy.ts';
import { runSpecSchema } from '../src/contract/run-spec.ts';

/** A JSON Schema, as far as the page shows it. */
interface Schema {
  type?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  maxLength?: number;
  maxItems?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  additionalProperties?: Schema | boolean;
  anyOf?: Schema[];
  $ref?: string;
}

const PAGES: readonly (readonly [title: string, words: string, schema: z.ZodType])[] = [
  [
    'Policy',
    'File `.sluice.yaml` at the tip of the target branch. It says what a change must pass.',
    policySchema,
  ],
  ['Configuration', 'File `sluice.config.yaml` of the daemon: repositories, tools and limits.', configSchema],
  ['Run spec', 'What `POST /v1/runs` and `sluice run submit` take, as JSON or YAML.', runSpecSchema],
];

/** Returns the page of every key of the three documents that people write, with its default and limits. */
export function referencePage(): string {
  const sections = PAGES.map(([title, words, schema]) => {
    const rows = rowsOf(schemaOf(schema), '');
    return `## ${title}\n\n${words}\n\n| key | value | default | meaning |\n|---|---|---|---|\n${rows.join('\n')}`;
  });
  return `# Reference

Every key of the documents that people write. Keys that are not here are refused, with a guess. \`npm run docs\` makes
this page from the schemas in \`src/contract\`. A key with \`[]\` is in each item of a list, one with \`*\` in each
entry, under a name that you choose.

${sections.join('\n\n')}
`;
}

/** Returns the paths of keys without a description. */
export function undescribed(): string[] {
  return PAGES.flatMap(([title, , schema]) =>
    keysOf(schemaOf(schema), '')
      .filter(({ schema: { description } }) => description === undefined)
      .map(({ path }) => `${title}: ${path}`),
  );
}

/** A schema with an id is a reference to its own definition. */
function schemaOf(schema: z.ZodType): Schema {
  const { $ref, $defs, ...root } = z.toJSONSchema(schema, { io: 'input' }) as Schema & { $defs?: Record<string, Schema> };
  return $ref === undefined ? root : $defs![$ref.split('/').at(-1)!]!;
}

interface Key {
  path: string;
  schema: Schema;
  required: boolean;
}

function keysOf(schema: Schema, above: string): Key[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, below]): Key[] => {
    const path = `${above}${name}`;
    const key = { path, schema: below, required: schema.required?.includes(name) ?? false };
    const { items, additionalProperties: entries } = below;
    return [
      key,
      ...keysOf(below, `${path}.`),
      ...(items === undefined ? [] : keysOf(items, `${path}[].`)),
      ...(typeof entries === 'object' ? keysOf(entries, `${path}.*.`) : []),
    ];
  });
}

function rowsOf(schema: Schema, above: string): string[] {
  return keysOf(schema, above).map(({ path, schema: key, required }) => {
    const value = required ? 'required' : defaultOf(key);
    const cells = [`\`${path}\``, typeOf(key), value, key.description ?? ''];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
}

function defaultOf({ default: value }: Schema): string {
  const isPlain = value !== undefined && (typeof value !== 'object' || value === null || Object.keys(value).length > 0);
  return isPlain ? `\`${JSON.stringify(value)}\`` : '';
}

function typeOf({ type, enum: values, const: only, items, anyOf, additionalProperties: entries, ...limits }: Schema): string {
  if (values !== undefined) return values.map((value) => `\`${value}\``).join(', ');
  if (only !== undefined) return `\`${only}\``;
  if (anyOf !== undefined) return anyOf.map(typeOf).join(' or ');
  if (type === 'array') return `list of ${items === undefined ? 'values' : typeOf(items)}`;
  if (type === 'object') return typeof entries === 'object' ? 'entries' : 'group';
  return `${type ?? 'any'}${limitsOf(limits)}`;
}

/** Limits that only say what a number of the computer can hold are left out. */
function limitsOf({ minimum, maximum, exclusiveMinimum, maxLength }: Schema): string {
  const lowest = exclusiveMinimum !== undefined ? `> ${exclusiveMinimum}` : minimum !== undefined ? `≥ ${minimum}` : '';
  const highest = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? `≤ ${maximum.toLocaleString('en')}` : '';
  const longest = maxLength === undefined ? '' : `at most ${maxLength} characters`;
  const said = [lowest.includes(String(Number.MIN_SAFE_INTEGER)) ? '' : lowest, highest, longest].filter((one) => one !== '');
  return said.length === 0 ? '' : `, ${said.join(', ')}`;
}
