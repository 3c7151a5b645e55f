import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import type { Policy } from '../contract/policy.ts';
import type { LandingView } from '../domain/landing/view.ts';
import { auditColumns, instant } from './columns.ts';

/** `code` as in `contract/errors.ts`. */
export interface TargetFault {
  code: string;
  message: string;
}

/** A branch of a repository that patches land on. Its id is `repository@branch`. */
export const Target = defineEntity({
  name: 'Target',
  tableName: 'targets',
  indexes: [],
  properties: {
    target_id: p.text().primary(),
    repository: p.text(),
    branch: p.text(),
    url: p.text(),
    tip_commit: p.text().nullable(),
    tip_tree: p.text().nullable(),
    policy: p.json().$type<Policy>().nullable(),
    policy_error: p.text().nullable(),
    /** `fault`: why its coordinator cannot work; null after a round that succeeded. */
    fault: p.json().$type<TargetFault>().nullable(),
    /** `steered_at`: when an operator last gave an order about one of its patches; the branch is then fetched again. */
    steered_at: instant().nullable(),
    observed_at: instant().nullable(),
    paused_at: instant().nullable(),
    paused_by: p.text().nullable(),
    pause_reason: p.text().nullable(),
    resumed_at: instant().nullable(),
    /** `landing`: the landing queue as of the last round of the coordinator. */
    landing: p.json().$type<LandingView>().nullable(),
    ...auditColumns,
  },
});
export type TargetRow = InferEntity<typeof Target>;
