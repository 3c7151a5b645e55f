import { sql } from '../database/database.ts';
import type { SealedVerdict } from '../domain/verdict-seal.ts';
import { GateVerdict, type GateVerdictRow } from '../entities/gate-verdict.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export type GreenVerdict = Pick<GateVerdictRow, 'tree_id' | 'digest' | 'gate_id' | 'seal'>;

/** A green verdict as an audit finds it. */
export interface EverPassed extends GreenVerdict {
  /** An execution stands behind it, or is on record. */
  executed: boolean;
  created_at: Date;
}

/** What its seal is about. */
export function sealedPart({ tree_id, digest, gate_id }: GreenVerdict): SealedVerdict {
  return { treeId: tree_id, digest, gateId: gate_id };
}

/**
 * True of a verdict `v` behind which stands an execution: it passed on that tree under that digest, in the hands of a worker
 * that lived from the claim to the end.
 */
export const HAS_EXECUTION = sql`exists (
  select 1 from test_gates g join workers k on k.worker_id = g.claimed_by
  where g.gate_id = v.gate_id and g.tree_id = v.tree_id and g.digest = v.digest
    and g.state = 'PASSED' and g.exit_code = 0
    and k.created_at <= g.started_at and (k.stopped_at is null or k.stopped_at >= g.completed_at))`;

/** Runs may be deleted, and their executions with them; what happened to those stays on record. */
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

  /** What is proven of these trees, each verdict with its execution behind it; seals are not looked at. */
  findPassed(treeIds: readonly string[]): Promise<GreenVerdict[]> {
    return this.rows(sql<GreenVerdict>`
      select v.tree_id, v.digest, v.gate_id, v.seal from gate_verdicts v
      where v.passed and v.tree_id = any (${[...treeIds]}::text[]) and ${HAS_EXECUTION}`);
  }

  /** What was proven of these trees, for an audit: executions of deleted runs count by what is on record of them. */
  findEverPassed(treeIds: readonly string[]): Promise<EverPassed[]> {
    return this.rows(sql`
      select v.tree_id, v.digest, v.gate_id, v.seal, v.created_at, ${WAS_EXECUTED} as executed from gate_verdicts v
      where v.passed and v.tree_id = any (${[...treeIds]}::text[])
      order by v.created_at`);
  }
}
