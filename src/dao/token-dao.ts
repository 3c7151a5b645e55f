import type { TokenScope } from '../contract/tokens.ts';
import { sql } from '../database/database.ts';
import { Token, type TokenRow } from '../entities/token.ts';
import { newId } from '../lib/id.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export interface NewToken {
  name: string;
  token_hash: string;
  scopes: TokenScope[];
}

export class TokenDao extends BaseDao<TokenRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Token, key: 'token_id', noun: 'token', idPrefix: 'tok' });
  }

  /** Ignores revoked tokens. */
  async findByHash(tokenHash: string): Promise<TokenRow | undefined> {
    return (await this.findBy({ token_hash: tokenHash, revoked_at: null }))[0];
  }

  /** Returns the new id; undefined if a token in use has that name, or any token that secret. */
  async createUnlessTaken({ name, token_hash, scopes }: NewToken): Promise<string | undefined> {
    const [made] = await this.rows<{ token_id: string }>(sql`
      insert into tokens (token_id, name, token_hash, scopes)
      values (${newId('tok')}, ${name}, ${token_hash}, ${scopes}::text[])
      on conflict do nothing returning token_id`);
    return made?.token_id;
  }
}
