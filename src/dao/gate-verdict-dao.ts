import { sql } from '../database/database.ts';
import { GateVerdict, type GateVerdictRow } from '../entities/gate-verdict.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class GateVerdictDao extends BaseDao<GateVerdictRow, { tree_id: string; digest: string }> {
  constructor(source: EntitySource) {
    super(source, { schema: GateVerdict, key: 'tree_id', noun: 'verdict' });
  }

  findByTrees(treeIds: readonly string[]): Promise<GateVerdictRow[]> {
    return this.findBy({ tree_id: { $in: [...treeIds] } });
  }

  /** What is proven of these trees. */
  findPassed(treeIds: readonly string[]): Promise<Pick<GateVerdictRow, 'tree_id' | 'digest' | 'gate_id'>[]> {
    return this.rows(sql<Pick<GateVerdictRow, 'tree_id' | 'digest' | 'gate_id'>>`
      select tree_id, digest, gate_id from gate_verdicts where passed and tree_id = any (${[...treeIds]}::text[])`);
  }
}
