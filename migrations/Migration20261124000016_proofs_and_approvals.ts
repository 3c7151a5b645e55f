import { Migration } from '@mikro-orm/migrations';

/** Adds what a landing is proven by, who approved a patch or stopped its target, and what the queue looked like last. */
export class Migration20261124000016_proofs_and_approvals extends Migration {
  override up(): void {
    this.addSql(`alter table runs
      add column land boolean not null default true`);
    this.addSql(`alter table patches
      add column size_bytes int null,
      add column "binary" boolean not null default false,
      add column land boolean not null default true,
      add column approved_at timestamptz null,
      add column approved_by text null,
      add column reverts_patch_id text null`);
    this.addSql(`create index patches_applied_at on patches (target_id, applied_at) where applied_at is not null`);
    this.addSql(`alter table landing_intents
      add column prove text not null default 'every_commit',
      add column proofs jsonb not null default '[]'`);
    this.addSql(`alter table targets
      add column resumed_at timestamptz null,
      add column landing jsonb null`);
    this.addSql(`create index test_gates_target on test_gates (target_id, created_at)`);
  }

  override down(): void {
    this.addSql(`drop index test_gates_target`);
    this.addSql(`alter table targets drop column landing, drop column resumed_at`);
    this.addSql(`alter table landing_intents drop column proofs, drop column prove`);
    this.addSql(`drop index patches_applied_at`);
    this.addSql(`alter table patches
      drop column reverts_patch_id, drop column approved_by, drop column approved_at, drop column land,
      drop column "binary", drop column size_bytes`);
    this.addSql(`alter table runs drop column land`);
  }
}
