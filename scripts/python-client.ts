import { z } from 'zod';
import { ACTIONS, type Action } from '../src/contract/actions.ts';
import * as answers from '../src/contract/answers.ts';
import * as objects from '../src/contract/objects.ts';

interface Schema {
  type?: string | string[];
  enum?: (string | number | null)[];
  const?: string | number | boolean | null;
  anyOf?: Schema[];
  oneOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  $ref?: string;
}

/** Schemas by name. zod names those that several others share `__schema0` and so on. */
interface Definitions {
  $defs?: Record<string, Schema>;
}

const HEADER = '# Made from src/contract by `npm run docs`. Do not edit.';

/** Returns `models.py` of the Python client: a TypedDict for each object of the API. */
export function pythonModels(): string {
  const schemas = [...Object.values(objects), ...Object.values(answers)].filter((each) => each instanceof z.ZodObject);
  const classes = new Map<string, string>();
  for (const schema of schemas) {
    const { $defs = {} } = z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' }) as Definitions;
    for (const [name, definition] of Object.entries($defs)) {
      if (definition.properties !== undefined && !name.startsWith('__')) classes.set(name, classOf(name, definition, $defs));
    }
  }
  const sorted = [...classes].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
  return `${HEADER}\nfrom __future__ import annotations\n\nfrom typing import Any, Literal, TypedDict, Union\n\n\n${sorted.join('\n\n\n')}\n`;
}

/** Returns `actions.py`: a method for each action, by collection. */
export function pythonActions(): string {
  const classes = Object.entries(ACTIONS).map(([collection, actions]) => {
    const methods = Object.entries<Action>(actions).map(([name, action]) => methodOf(collection, name, action));
    return `class ${capital(collection)}Actions(Resource):\n${methods.join('\n\n')}`;
  });
  const answered = [...new Set(Object.values(ACTIONS).flatMap((all) => Object.values<Action>(all)))];
  const models = [...new Set(answered.map(({ answer }) => capital(answer)))].toSorted();
  return `${HEADER}\nfrom __future__ import annotations\n\nfrom typing import Optional\n\nfrom .models import ${models.join(', ')}\nfrom .transport import Resource\n\n\n${classes.join('\n\n\n')}\n`;
}

const BODIES: Readonly<Record<Action['body'], string>> = {
  note: 'reason: Optional[str] = None',
  order: 'reason: str',
  budget: 'usd: float, reason: str',
  priority: 'priority: int, reason: str',
};

function methodOf(collection: string, name: string, { body, answer, description }: Action): string {
  const names = BODIES[body].split(', ').map((each) => each.split(':')[0]!);
  const sent = names.map((each) => `${each}=${each}`).join(', ');
  return `    def ${name}(self, id: str, *, ${BODIES[body]}) -> ${capital(answer)}:
        """${description}"""
        return self._act("${collection}", id, "${name}", ${sent})`;
}

function classOf(
  name: string,
  { properties = {}, required = [] }: Schema,
  definitions: Readonly<Record<string, Schema>>,
): string {
  const all = Object.keys(properties).every((key) => required.includes(key));
  const fields = Object.entries(properties).map(([key, schema]) => `    ${key}: ${typeOf(schema, definitions)}`);
  return `class ${name}(TypedDict${all ? '' : ', total=False'}):\n${fields.join('\n')}`;
}

function typeOf(schema: Schema, definitions: Readonly<Record<string, Schema>>): string {
  const inner = (part: Schema): string => typeOf(part, definitions);
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split('/').at(-1)!;
    return name.startsWith('__') ? inner(definitions[name]!) : name;
  }
  const options = schema.anyOf ?? schema.oneOf;
  if (options !== undefined) return `Union[${[...new Set(options.map(inner))].join(', ')}]`;
  if (schema.const !== undefined) return `Literal[${literal(schema.const)}]`;
  if (schema.enum !== undefined) return `Literal[${schema.enum.map(literal).join(', ')}]`;
  if (Array.isArray(schema.type)) return `Union[${schema.type.map((type) => inner({ ...schema, type })).join(', ')}]`;
  switch (schema.type) {
    case 'string':
      return 'str';
    case 'integer':
      return 'int';
    case 'number':
      return 'float';
    case 'boolean':
      return 'bool';
    case 'null':
      return 'None';
    case 'array':
      return `list[${schema.items === undefined ? 'Any' : inner(schema.items)}]`;
    case 'object': {
      const values = schema.additionalProperties;
      return `dict[str, ${typeof values === 'object' && Object.keys(values).length > 0 ? inner(values) : 'Any'}]`;
    }
    default:
      return 'Any';
  }
}

function literal(value: string | number | boolean | null): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return JSON.stringify(value);
}

function capital(name: string): string {
  return name[0]!.toUpperCase() + name.slice(1);
}
