import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000009_targets extends Migration {
  override up(): void {
    this.addSql(`
    create table targets (
      target_id text not null,
      repository text not null,
      branch text not null,
      url text not null,
      tip_commit text null,
      tip_tree text null,
      policy jsonb null,
      policy_error text null,
      observed_at timestamptz null,
      paused_at timestamptz null,
      paused_by text null,
      pause_reason text null,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      metadata jsonb not null default '{}',
      primary key (target_id)
    )`);
  }

  override down(): void {
    this.addSql('drop table targets');
  }
}
