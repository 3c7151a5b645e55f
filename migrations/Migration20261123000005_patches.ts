import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000005_patches extends Migration {
  override up(): void {
    this.addSql(`
    create table patches (
      patch_id text not null,
      task_id text not null,
      run_id text null,
      target_id text null,
      state text not null default 'PENDING',
      reason text null,
      evidence jsonb null,
      file_path text null,
      paths text[] not null default '{}',
      patch_format text not null default 'git_patch',
      scope text[] null,
      priority int not null default 0,
      attempt int not null default 0,
      content bytea null,
      diff bytea null,
      base_commit text null,
      commit_id text null,
      tree_id text null,
      message text not null default '',
      author_name text null,
      author_email text null,
      authored_at timestamptz null,
      intent_id text null,
      landed_commit text null,
      landed_tree text null,
      expires_at timestamptz null,
      staged_at timestamptz null,
      applied_at timestamptz null,
      verified_at timestamptz null,
      version int not null default 1,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      metadata jsonb not null default '{}',
      primary key (patch_id)
    )`);
    this.addSql(
      `alter table patches add constraint patches_state_known check (state = any (array['PENDING', 'VALIDATING', 'QUARANTINED', 'STAGED', 'APPLIED', 'VERIFIED', 'ROLLED_BACK', 'SUPERSEDED', 'EXPIRED', 'BLOCKED']))`,
    );
    this.addSql(
      `alter table patches add constraint patches_format_known check (patch_format = any (array['unified_diff', 'context_diff', 'git_patch', 'inline']))`,
    );
    this.addSql(
      `alter table patches add constraint patches_stopped_has_reason check ((state <> 'QUARANTINED' and state <> 'BLOCKED') or reason is not null)`,
    );
    this.addSql(
      `alter table patches add constraint patches_task_fk foreign key (task_id) references tasks (task_id) on delete cascade`,
    );
    this.addSql(`create index patches_task on patches (task_id)`);
    this.addSql(`create index patches_state on patches (state)`);
    this.addSql(`create index patches_file_path on patches (file_path)`);
    this.addSql(`create index patches_paths on patches using gin (paths)`);
    this.addSql(
      `create index patches_queue on patches (target_id, priority desc, staged_at, patch_id) where state = 'STAGED'`,
    );
    this.addSql(`create index patches_to_verify on patches (target_id) where state = 'APPLIED'`);
  }

  override down(): void {
    this.addSql('drop table patches');
  }
}
