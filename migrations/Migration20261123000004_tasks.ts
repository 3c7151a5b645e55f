import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000004_tasks extends Migration {
  override up(): void {
    this.addSql(`
    create table tasks (
      task_id text not null,
      workstream_id text not null,
      worker_id text null,
      run_id text null,
      target_id text null,
      state text not null default 'PENDING',
      outcome text null,
      reason text null,
      evidence jsonb null,
      name text not null default '',
      position int not null default 0,
      tool text not null default 'command',
      pool text not null default 'default',
      input jsonb not null default '{}',
      scope text[] null,
      message text null,
      timeout_seconds int null,
      priority int not null default 0,
      open_dependencies int not null default 0,
      retry_count int not null default 0,
      max_retries int not null default 3,
      interruptions int not null default 0,
      attempt int not null default 0,
      dispatch int not null default 0,
      dispatched_at timestamptz null,
      lease_expires_at timestamptz null,
      available_at timestamptz null,
      exit_code int null,
      base_commit text null,
      landed_commit text null,
      rolled_up boolean not null default false,
      queued_at timestamptz null,
      started_at timestamptz null,
      completed_at timestamptz null,
      version int not null default 1,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      metadata jsonb not null default '{}',
      primary key (task_id)
    )`);
    this.addSql(
      `alter table tasks add constraint tasks_state_known check (state = any (array['PENDING', 'QUEUED', 'VALIDATING', 'RUNNING', 'COMPLETED', 'FAILED', 'BLOCKED', 'CANCELLED', 'RETRYING']))`,
    );
    this.addSql(
      `alter table tasks add constraint tasks_counts check (retry_count >= 0 and max_retries >= 0 and attempt >= 0 and dispatch >= 0)`,
    );
    this.addSql(`alter table tasks add constraint tasks_retries check (retry_count <= max_retries)`);
    this.addSql(`alter table tasks add constraint tasks_worker_runs check (worker_id is null or state = 'RUNNING')`);
    this.addSql(
      `alter table tasks add constraint tasks_workstream_fk foreign key (workstream_id) references workstreams (workstream_id) on delete cascade`,
    );
    this.addSql(
      `alter table tasks add constraint tasks_worker_fk foreign key (worker_id) references workers (worker_id) on delete set null`,
    );
    this.addSql(`create index tasks_workstream on tasks (workstream_id)`);
    this.addSql(`create index tasks_worker on tasks (worker_id)`);
    this.addSql(`create index tasks_state on tasks (state)`);
    this.addSql(`create index tasks_created_at on tasks (created_at desc)`);
    this.addSql(`create index tasks_run on tasks (run_id)`);
    this.addSql(
      `create index tasks_to_admit on tasks (pool, priority desc, queued_at, task_id) where state = 'QUEUED' and dispatched_at is null`,
    );
    this.addSql(
      `create index tasks_in_flight on tasks (tool, dispatched_at) where state = 'RUNNING' or (state = 'QUEUED' and dispatched_at is not null)`,
    );
    this.addSql(
      `create index tasks_to_roll_up on tasks (task_id) where not rolled_up and state in ('COMPLETED', 'FAILED', 'CANCELLED')`,
    );
    this.addSql(`create index tasks_to_retry on tasks (available_at) where state = 'RETRYING'`);
  }

  override down(): void {
    this.addSql('drop table tasks');
  }
}
