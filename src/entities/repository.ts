import { defineEntity, p } from '@mikro-orm/postgresql';
import { auditColumns } from './columns.ts';

/** The part of a configured repository that admission needs. */
export const Repository = defineEntity({
  name: 'Repository',
  tableName: 'repositories',
  checks: [{ name: 'repositories_concurrency', expression: 'concurrency is null or concurrency > 0' }],
  properties: {
    repository: p.text().primary(),
    /** `concurrency`: how many tasks may run on it at once, over all its branches; null: any number. */
    concurrency: p.integer().nullable(),
    ...auditColumns,
  },
});
