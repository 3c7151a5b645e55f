import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';

/** The exclusive right to a role (coordinator of a target, reconciler): its holder, its expiry and its epoch. */
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
