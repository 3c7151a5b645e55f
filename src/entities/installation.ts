import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';

/** Holds one row, written by the migration: the identity of this database, whatever address it is reached by. */
export const Installation = defineEntity({
  name: 'Installation',
  tableName: 'installation',
  properties: {
    installation_id: p.text().primary(),
    /** `verdict_key`: fingerprint of the key that seals verdicts; null when they are not sealed. */
    verdict_key: p.text().nullable(),
    sealed_since: instant().nullable(),
    /** `daemon_role`: role of schedulers, workers and the API when it does not own the tables. */
    daemon_role: p.text().nullable(),
    created_at: instant().defaultRaw('now()'),
  },
});
export type InstallationRow = InferEntity<typeof Installation>;
