import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000006_test_gates extends Migration {
  override up(): void {
    this.addSql(`
    create table test_gates (
      gate_id text not null,
      task_id text not null,
      worker_id text null,
      run_id text null,
      target_id text null,
      state text not null default 'PENDING',
      outcome text null,
      reason text null,
      test_suite text not null default '',
      timeout_seconds int not null default 600,
      exit_code int null,
      test_results jsonb null,
      definition jsonb null,
      pool text not null default 'default',
      digest text null,
      tree_id text null,
      tip_commit text null,
      patch_ids text[] not null default '{}',
      pinned boolean not null default false,
      advisory boolean not null default false,
      attempt int not null default 0,
      dispatch int not null default 0,
      dispatched_at timestamptz null,
      lease_expires_at timestamptz null,
      started_at timestamptz null,
      completed_at timestamptz null,
      version int not null default 1,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      metadata jsonb not null default '{}',
      primary key (gate_id)
    )`);
    this.addSql(
      `alter table test_gates add constraint test_gates_state_known check (state = any (array['PENDING', 'RUNNING', 'PASSED', 'FAILED', 'BLOCKED']))`,
    );
    this.addSql(`alter table test_gates add constraint test_gates_timeout check (timeout_seconds > 0)`);
    this.addSql(
      `alter table test_gates add constraint test_gates_passed_exit check (state <> 'PASSED' or (exit_code is not null and exit_code = 0))`,
    );
    this.addSql(
      `alter table test_gates add constraint test_gates_failed_outcome check (state <> 'FAILED' or (outcome is not null and outcome = any (array['red', 'timeout', 'lost', 'unproven', 'withdrawn', 'tainted'])))`,
    );
    this.addSql(
      `alter table test_gates add constraint test_gates_worker_runs check (worker_id is null or state = 'RUNNING')`,
    );
    this.addSql(
      `alter table test_gates add constraint test_gates_task_fk foreign key (task_id) references tasks (task_id) on delete cascade`,
    );
    this.addSql(
      `alter table test_gates add constraint test_gates_worker_fk foreign key (worker_id) references workers (worker_id) on delete set null`,
    );
    this.addSql(`create index test_gates_task on test_gates (task_id)`);
    this.addSql(`create index test_gates_state on test_gates (state)`);
    this.addSql(`create index test_gates_worker on test_gates (worker_id)`);
    this.addSql(`create index test_gates_proof on test_gates (tree_id, digest)`);
    this.addSql(
      `create unique index test_gates_one_live on test_gates (tree_id, digest) where state in ('PENDING', 'RUNNING', 'BLOCKED')`,
    );
  }

  override down(): void {
    this.addSql('drop table test_gates');
  }
}
