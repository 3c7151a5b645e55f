import { Migration } from '@mikro-orm/migrations';

/**
 * Makes names of unrevoked tokens unique: of tokens with one name, all but the oldest get their id appended. Records
 * whether a run may supersede runs of other callers.
 */
export class Migration20261126000021_callers extends Migration {
  override up(): void {
    this.addSql(`
      update tokens t set name = t.name || ' ' || t.token_id
      where revoked_at is null and exists (
        select 1 from tokens o
        where o.name = t.name and o.revoked_at is null and (o.created_at, o.token_id) < (t.created_at, t.token_id))`);
    this.addSql(`create unique index tokens_name on tokens (name) where revoked_at is null`);
    this.addSql(`alter table runs add column supersedes_others boolean not null default true`);
  }

  override down(): void {
    this.addSql(`alter table runs drop column supersedes_others`);
    this.addSql(`drop index tokens_name`);
  }
}
