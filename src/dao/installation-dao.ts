import { SluiceError } from '../contract/errors.ts';
import { Installation, type InstallationRow } from '../entities/installation.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class InstallationDao extends BaseDao<InstallationRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Installation, key: 'installation_id', noun: 'installation' });
  }

  /** Throws `entity.not_found` in a database that was never migrated. */
  async current(): Promise<InstallationRow> {
    const [row] = await this.listAll(1);
    if (row === undefined)
      throw new SluiceError('entity.not_found', 'the database has no installation id: run "sluice migrate up"');
    return row;
  }
}
