import { p } from '@mikro-orm/postgresql';

export type Json = Record<string, unknown>;

/** Every table of Sluice has these. */
export const auditColumns = {
  created_at: p.datetime().columnType('timestamptz').defaultRaw('now()'),
  updated_at: p
    .datetime()
    .columnType('timestamptz')
    .defaultRaw('now()')
    .onUpdate(() => new Date()),
  metadata: p.json().$type<Json>().defaultRaw(`'{}'::jsonb`),
};

export const instant = () => p.datetime().columnType('timestamptz');
export const jsonObject = () => p.json().$type<Json>();
export const textArray = () => p.array().columnType('text[]').$type<string[]>();

/** Checks of amounts say `x = abs(x)`: PostgreSQL writes constants beside floats with a cast, which no comparison of schemas knows. */
export function inList(column: string, values: readonly string[]): string {
  return `${column} = any (array[${values.map((value) => `'${value}'`).join(', ')}])`;
}
