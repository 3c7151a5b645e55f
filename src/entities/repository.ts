import { defineEntity, p } from '@mikro-orm/postgresql';
import { auditColumns } from './columns.ts';

/** A repository of the configuration, as far as admission must know it. */
export const Repository = defineEntity({
  name: 'Repository',
  tableName: 'repositories',
  checks: [{ name: 'repositories_concurrency', expression: 'concurrency is null or concurrency > 0' }],
  properties: {
    repository: p.text().primary(),
    /** How many tasks may run on it at once, over all its branches; null: any number. */
    concurrency: p.integer().nullable(),
    ...auditColumns,
  },
});
