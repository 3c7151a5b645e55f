import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';

/** Verdict of an execution on a tree under a gate digest. It is written once and never changed. */
export const GateVerdict = defineEntity({
  name: 'GateVerdict',
  tableName: 'gate_verdicts',
  properties: {
    tree_id: p.text().primary(),
    digest: p.text().primary(),
    gate_id: p.text().primary(),
    passed: p.boolean(),
    /** `flaky`: an earlier execution on the same tree and digest had the opposite result. */
    flaky: p.boolean().default(false),
    gate_name: p.text(),
    /** `seal`: HMAC of a green verdict under the daemon's key; null for red ones and without a key. */
    seal: p.text().nullable(),
    created_at: instant().defaultRaw('now()'),
  },
});
export type GateVerdictRow = InferEntity<typeof GateVerdict>;
