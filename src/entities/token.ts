import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import type { TokenScope } from '../contract/tokens.ts';
import { auditColumns, instant, textArray } from './columns.ts';

/** An API token; only its SHA-256 is kept. */
export const Token = defineEntity({
  name: 'Token',
  tableName: 'tokens',
  indexes: [
    {
      name: 'tokens_name',
      expression: 'create unique index tokens_name on tokens (name) where revoked_at is null',
    },
  ],
  properties: {
    token_id: p.text().primary(),
    name: p.text(),
    token_hash: p.text().unique('tokens_hash'),
    scopes: textArray().$type<TokenScope[]>(),
    revoked_at: instant().nullable(),
    ...auditColumns,
  },
});
export type TokenRow = InferEntity<typeof Token>;
