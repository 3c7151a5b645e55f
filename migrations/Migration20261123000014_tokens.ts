import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000014_tokens extends Migration {
  override up(): void {
    this.addSql(`
    create table tokens (
      token_id text not null,
      name text not null,
      token_hash text not null,
      scopes text[] not null,
      revoked_at timestamptz null,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      metadata jsonb not null default '{}',
      primary key (token_id)
    )`);
    this.addSql(`alter table tokens add constraint tokens_hash unique (token_hash)`);
  }

  override down(): void {
    this.addSql('drop table tokens');
  }
}
