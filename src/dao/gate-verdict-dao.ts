import { GateVerdict, type GateVerdictRow } from '../entities/gate-verdict.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class GateVerdictDao extends BaseDao<GateVerdictRow, { tree_id: string; digest: string }> {
  constructor(source: EntitySource) {
    super(source, { schema: GateVerdict, key: 'tree_id', noun: 'verdict' });
  }

  findByTrees(treeIds: readonly string[]): Promise<GateVerdictRow[]> {
    return this.findBy({ tree_id: { $in: [...treeIds] } });
  }
}
