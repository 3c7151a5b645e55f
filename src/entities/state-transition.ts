import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { instant, jsonObject } from './columns.ts';

/**
 * One row per change of state. Sequence numbers are not commit order: readers take rows whose `xid` lies below the
 * snapshot's xmin, ordered by (xid, transition_id). No foreign key, because history outlives the run.
 */
export const StateTransition = defineEntity({
  name: 'StateTransition',
  tableName: 'state_transitions',
  indexes: [
    { name: 'state_transitions_order', properties: ['xid', 'transition_id'] },
    { name: 'state_transitions_entity', properties: ['entity_id'] },
    { name: 'state_transitions_run', properties: ['run_id', 'xid', 'transition_id'] },
    {
      name: 'state_transitions_repairs',
      expression: "create index state_transitions_repairs on state_transitions (created_at) where actor = 'reconciler'",
    },
  ],
  properties: {
    transition_id: p.bigint('string').primary().autoincrement(),
    xid: p.text().columnType('xid8').defaultRaw('pg_current_xact_id()'),
    kind: p.text(),
    entity_id: p.text(),
    run_id: p.text().nullable(),
    attempt: p.integer().nullable(),
    from_state: p.text().nullable(),
    to_state: p.text(),
    reason: p.text().nullable(),
    actor: p.text(),
    forced: p.boolean().default(false),
    detail: jsonObject().nullable(),
    created_at: instant().defaultRaw('now()'),
  },
});
export type StateTransitionRow = InferEntity<typeof StateTransition>;
