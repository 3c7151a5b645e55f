import type { InferEntity } from '@mikro-orm/postgresql';
import { Repository } from '../entities/repository.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class RepositoryDao extends BaseDao<InferEntity<typeof Repository>> {
  constructor(source: EntitySource) {
    super(source, { schema: Repository, key: 'repository', noun: 'repository' });
  }
}
