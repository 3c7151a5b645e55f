import { Token, type TokenRow } from '../entities/token.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class TokenDao extends BaseDao<TokenRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Token, key: 'token_id', noun: 'token', idPrefix: 'tok' });
  }

  /** A token that is not revoked. */
  async findByHash(tokenHash: string): Promise<TokenRow | undefined> {
    return (await this.findBy({ token_hash: tokenHash, revoked_at: null }))[0];
  }
}
