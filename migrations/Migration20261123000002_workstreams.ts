import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000002_workstreams extends Migration {
  override up(): void {
    this.addSql(`
    create table workstreams (
      workstream_id text not null,
      run_id text not null,
      state text not null default 'PENDING',
      outcome text null,
      reason text null,
      progress_percentage int not null default 0,
      name text not null default '',
      position int not null default 0,
      critical boolean not null default true,
      open_dependencies int not null default 0,
      tasks_total int not null default 0,
      tasks_ended int not null default 0,
      tasks_failed int not null default 0,
      tasks_cancelled int not null default 0,
      rolled_up boolean not null default false,
      started_at timestamptz null,
      completed_at timestamptz null,
      version int not null default 1,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      metadata jsonb not null default '{}',
      primary key (workstream_id)
    )`);
    this.addSql(
      `alter table workstreams add constraint workstreams_state_known check (state = any (array['PENDING', 'INITIALIZING', 'RUNNING', 'PAUSED', 'BLOCKED', 'COMPLETED', 'FAILED', 'CANCELLED', 'ABANDONED']))`,
    );
    this.addSql(
      `alter table workstreams add constraint workstreams_progress_range check (progress_percentage >= 0 and progress_percentage <= 100)`,
    );
    this.addSql(
      `alter table workstreams add constraint workstreams_run_fk foreign key (run_id) references runs (run_id) on delete cascade`,
    );
    this.addSql(`create index workstreams_run on workstreams (run_id)`);
    this.addSql(`create index workstreams_state on workstreams (state)`);
    this.addSql(
      `create index workstreams_to_roll_up on workstreams (workstream_id) where not rolled_up and state in ('COMPLETED', 'FAILED', 'CANCELLED', 'ABANDONED')`,
    );
  }

  override down(): void {
    this.addSql('drop table workstreams');
  }
}
