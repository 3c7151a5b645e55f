import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';

/** One row, made by the migration: the name of this database among all, whatever address it is reached by. */
export const Installation = defineEntity({
  name: 'Installation',
  tableName: 'installation',
  properties: {
    installation_id: p.text().primary(),
    /** Fingerprint of the key that verdicts are sealed with; null: they are not. */
    verdict_key: p.text().nullable(),
    sealed_since: instant().nullable(),
    /** The role that schedulers, workers and the API use, where it is not the owner of the tables. */
    daemon_role: p.text().nullable(),
    created_at: instant().defaultRaw('now()'),
  },
});
export type InstallationRow = InferEntity<typeof Installation>;
