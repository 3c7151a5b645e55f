import { p } from '@mikro-orm/postgresql';

export type Json = Record<string, unknown>;

/** Columns that most tables share. */
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

// Checks of amounts are written `x = abs(x)`, not `x >= 0`: PostgreSQL adds a cast to constants beside floats, and the
// comparison of schemas would report it as a difference.

export function inList(column: string, values: readonly string[]): string {
  return `${column} = any (array[${values.map((value) => `'${value}'`).join(', ')}])`;
}
