import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import type { Prove } from '../contract/policy.ts';
import { instant } from './columns.ts';

export interface IntendedPatch {
  patch_id: string;
  commit: string;
  tree: string;
}

/** A verdict that was green when the intent was written. */
export interface IntendedProof {
  tree: string;
  digest: string;
  gate: string;
  /** `gateMeaning` of the gate: what it runs, apart from where. Absent in intents of older versions. */
  meaning?: string;
  /** The green execution and the seal of its verdict, copied because the intent outlives the run. */
  gate_id?: string;
  seal?: string | null;
}

/**
 * Written before a push and settled after it; a target has at most one open intent. No foreign key, because proof
 * outlives the run.
 */
export const LandingIntent = defineEntity({
  name: 'LandingIntent',
  tableName: 'landing_intents',
  indexes: [
    {
      name: 'landing_intents_one_open',
      expression:
        'create unique index landing_intents_one_open on landing_intents (target_id) where settled_at is null',
    },
    { name: 'landing_intents_target', properties: ['target_id', 'created_at'] },
  ],
  properties: {
    intent_id: p.text().primary(),
    target_id: p.text(),
    epoch: p.integer(),
    old_tip: p.text(),
    new_commit: p.text(),
    tree_id: p.text(),
    /** `prove`: with `every_commit` the tree of each commit was proven; with `batch` that of the last one. */
    prove: p.text().$type<Prove>().default('every_commit'),
    proofs: p.json().$type<IntendedProof[]>().defaultRaw(`'[]'::jsonb`),
    patches: p.json().$type<IntendedPatch[]>(),
    outcome: p.text().$type<'applied' | 'cleared'>().nullable(),
    settled_at: instant().nullable(),
    created_at: instant().defaultRaw('now()'),
  },
});
export type LandingIntentRow = InferEntity<typeof LandingIntent>;
