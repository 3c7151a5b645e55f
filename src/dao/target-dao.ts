import { Target, type TargetRow } from '../entities/target.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class TargetDao extends BaseDao<TargetRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Target, key: 'target_id', noun: 'target' });
  }
}
