import { Lease, type LeaseRow } from '../entities/lease.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class LeaseDao extends BaseDao<LeaseRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Lease, key: 'name', noun: 'lease' });
  }
}
