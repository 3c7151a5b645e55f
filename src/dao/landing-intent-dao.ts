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

  /** Given up lately: their pushes may still arrive. Newest first. */
  findCleared(targetId: string, { limit }: { limit: number }): Promise<LandingIntentRow[]> {
    return this.coded((em) =>
      em.find(LandingIntent, { target_id: targetId, outcome: 'cleared' }, { limit, orderBy: { settled_at: 'desc' } }),
    );
  }

  findApplied(targetId: string): Promise<LandingIntentRow[]> {
    return this.findBy({ target_id: targetId, outcome: 'applied' });
  }
}
