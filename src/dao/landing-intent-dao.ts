import { LandingIntent, type LandingIntentRow } from '../entities/landing-intent.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class LandingIntentDao extends BaseDao<LandingIntentRow> {
  constructor(source: EntitySource) {
    super(source, { schema: LandingIntent, key: 'intent_id', noun: 'landing intent', idPrefix: 'intent' });
  }

  /** The intent that stands between push and ledger; at most one a target. */
  async findOpen(targetId: string): Promise<LandingIntentRow | undefined> {
    return (await this.findBy({ target_id: targetId, settled_at: null }))[0];
  }

  findApplied(targetId: string): Promise<LandingIntentRow[]> {
    return this.findBy({ target_id: targetId, outcome: 'applied' });
  }
}
