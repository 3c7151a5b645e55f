import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';

/** What is proven of a tree under a gate digest. One green is proof; red and then green is recorded as a flake. */
export const GateVerdict = defineEntity({
  name: 'GateVerdict',
  tableName: 'gate_verdicts',
  properties: {
    tree_id: p.text().primary(),
    digest: p.text().primary(),
    passed: p.boolean(),
    flaky: p.boolean().default(false),
    gate_id: p.text(),
    gate_name: p.text(),
    /** Of the green execution, under the key of the daemon. */
    seal: p.text().nullable(),
    created_at: instant().defaultRaw('now()'),
    updated_at: instant().defaultRaw('now()'),
  },
});
export type GateVerdictRow = InferEntity<typeof GateVerdict>;
