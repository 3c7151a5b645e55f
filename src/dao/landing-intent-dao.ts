import { LandingIntent, type LandingIntentRow } from '../entities/landing-intent.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class LandingIntentDao extends BaseDao<LandingIntentRow> {
  constructor(source: EntitySource) {
    super(source, { schema: LandingIntent, key: 'intent_id', noun: 'landing intent', idPrefix: 'intent' });
  }

  /** Returns the intent that is not settled yet; a target has at most one. */
  async findOpen(targetId: string): Promise<LandingIntentRow | undefined> {
    return (await this.findBy({ target_id: targetId, settled_at: null }))[0];
  }

  /** Returns cleared intents, newest first, because their pushes may still arrive. */
  findCleared(targetId: string, { limit }: { limit: number }): Promise<LandingIntentRow[]> {
    return this.coded((em) =>
      em.find(LandingIntent, { target_id: targetId, outcome: 'cleared' }, { limit, orderBy: { settled_at: 'desc' } }),
    );
  }

  findApplied(targetId: string): Promise<LandingIntentRow[]> {
    return this.findBy({ target_id: targetId, outcome: 'applied' });
  }
}
