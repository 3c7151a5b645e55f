import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000001_runs extends Migration {
  override up(): void {
    this.addSql(`
    create table runs (
      run_id text not null,
      state text not null default 'INITIALIZING',
      outcome text null,
      reason text null,
      evidence jsonb null,
      progress_percentage int not null default 0,
      name text not null default '',
      target_id text null,
      priority int not null default 0,
      labels jsonb not null default '{}',
      extra_gates jsonb not null default '[]',
      idempotency_key text null,
      spec_digest text null,
      submitted_by text null,
      expires_at timestamptz null,
      workstreams_total int not null default 0,
      workstreams_ended int not null default 0,
      critical_failed int not null default 0,
      tasks_total int not null default 0,
      tasks_ended int not null default 0,
      started_at timestamptz null,
      completed_at timestamptz null,
      version int not null default 1,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      metadata jsonb not null default '{}',
      primary key (run_id)
    )`);
    this.addSql(`alter table runs add constraint runs_idempotency_key unique (idempotency_key)`);
    this.addSql(
      `alter table runs add constraint runs_state_known check (state = any (array['INITIALIZING', 'RUNNING', 'PAUSED', 'COMPLETED', 'FAILED']))`,
    );
    this.addSql(
      `alter table runs add constraint runs_progress_range check (progress_percentage >= 0 and progress_percentage <= 100)`,
    );
    this.addSql(`create index runs_state on runs (state)`);
    this.addSql(`create index runs_created_at on runs (created_at desc)`);
    this.addSql(`create index runs_target on runs (target_id)`);
  }

  override down(): void {
    this.addSql('drop table runs');
  }
}
