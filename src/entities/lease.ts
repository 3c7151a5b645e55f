import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';

/** Who may act alone (a target's coordinator, the reconciler), until when, and in which epoch. */
export const Lease = defineEntity({
  name: 'Lease',
  tableName: 'leases',
  properties: {
    name: p.text().primary(),
    holder: p.text(),
    epoch: p.integer(),
    expires_at: instant(),
  },
});
export type LeaseRow = InferEntity<typeof Lease>;
