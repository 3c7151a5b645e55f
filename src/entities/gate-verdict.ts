import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';

/** What an execution has decided of a tree under a gate digest: written once, never changed. */
export const GateVerdict = defineEntity({
  name: 'GateVerdict',
  tableName: 'gate_verdicts',
  properties: {
    tree_id: p.text().primary(),
    digest: p.text().primary(),
    gate_id: p.text().primary(),
    passed: p.boolean(),
    /** Another execution had decided otherwise. */
    flaky: p.boolean().default(false),
    gate_name: p.text(),
    /** Of the green execution, under the key of the daemon. */
    seal: p.text().nullable(),
    created_at: instant().defaultRaw('now()'),
  },
});
export type GateVerdictRow = InferEntity<typeof GateVerdict>;
