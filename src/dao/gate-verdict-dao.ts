import { sql } from '../database/database.ts';
import type { SealedVerdict } from '../domain/verdict-seal.ts';
import { GateVerdict, type GateVerdictRow } from '../entities/gate-verdict.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export type GreenVerdict = Pick<GateVerdictRow, 'tree_id' | 'digest' | 'gate_id' | 'seal'>;

/** A green verdict with the facts that an audit needs. */
export interface EverPassed extends GreenVerdict {
  /** True when its execution is in the ledger, or was deleted and is in the audit trail. */
  executed: boolean;
  created_at: Date;
}

/** Returns the part of a verdict that its seal covers. */
export function sealedPart({ tree_id, digest, gate_id }: GreenVerdict): SealedVerdict {
  return { treeId: tree_id, digest, gateId: gate_id };
}

/**
 * SQL condition: a verdict `v` has an execution that passed on its tree under its digest, by a worker that was alive
 * from the start to the end of the execution.
 */
export const HAS_EXECUTION = sql`exists (
  select 1 from test_gates g join workers k on k.worker_id = g.claimed_by
  where g.gate_id = v.gate_id and g.tree_id = v.tree_id and g.digest = v.digest
    and g.state = 'PASSED' and g.exit_code = 0
    and k.created_at <= g.started_at and (k.stopped_at is null or k.stopped_at >= g.completed_at))`;

/**
 * Also true for executions from before `claimed_by` was recorded, and for executions that were deleted with their run,
 * because the audit trail outlives them.
 */
const WAS_EXECUTED = sql`(
  ${HAS_EXECUTION}
  or exists (
    select 1 from test_gates g where g.gate_id = v.gate_id and g.tree_id = v.tree_id and g.digest = v.digest
      and g.state = 'PASSED' and g.exit_code = 0 and g.claimed_by = '')
  or not exists (select 1 from test_gates g where g.gate_id = v.gate_id)
    and exists (
      select 1 from state_transitions s
      where s.kind = 'gate' and s.entity_id = v.gate_id and s.to_state = 'PASSED' and s.actor = 'worker'))`;

export class GateVerdictDao extends BaseDao<GateVerdictRow, { tree_id: string; digest: string; gate_id: string }> {
  constructor(source: EntitySource) {
    super(source, { schema: GateVerdict, key: 'tree_id', noun: 'verdict' });
  }

  findByTrees(treeIds: readonly string[]): Promise<GateVerdictRow[]> {
    return this.findBy({ tree_id: { $in: [...treeIds] } });
  }

  /** Returns the green verdicts of these trees that have an execution. Does not check seals. */
  findPassed(treeIds: readonly string[]): Promise<GreenVerdict[]> {
    return this.rows(sql<GreenVerdict>`
      select v.tree_id, v.digest, v.gate_id, v.seal from gate_verdicts v
      where v.passed and v.tree_id = any (${[...treeIds]}::text[]) and ${HAS_EXECUTION}`);
  }

  /**
   * Returns all green verdicts of these trees for an audit, oldest first, and whether each has, or had, an execution.
   */
  findEverPassed(treeIds: readonly string[]): Promise<EverPassed[]> {
    return this.rows(sql`
      select v.tree_id, v.digest, v.gate_id, v.seal, v.created_at, ${WAS_EXECUTED} as executed from gate_verdicts v
      where v.passed and v.tree_id = any (${[...treeIds]}::text[])
      order by v.created_at`);
  }
}
