import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000011_landing extends Migration {
  override up(): void {
    this.addSql(`
    create table gate_verdicts (
      tree_id text not null,
      digest text not null,
      passed boolean not null,
      flaky boolean not null default false,
      gate_id text not null,
      gate_name text not null,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      primary key (tree_id, digest)
    )`);
    this.addSql(`
    create table landing_intents (
      intent_id text not null,
      target_id text not null,
      epoch int not null,
      old_tip text not null,
      new_commit text not null,
      tree_id text not null,
      patches jsonb not null,
      outcome text null,
      settled_at timestamptz null,
      created_at timestamptz not null default now(),
      primary key (intent_id)
    )`);
    this.addSql(`create unique index landing_intents_one_open on landing_intents (target_id) where settled_at is null`);
    this.addSql(`create index landing_intents_target on landing_intents (target_id, created_at)`);
  }

  override down(): void {
    this.addSql('drop table landing_intents');
    this.addSql('drop table gate_verdicts');
  }
}
