import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000007_circuit_breakers extends Migration {
  override up(): void {
    this.addSql(`
    create table circuit_breakers (
      breaker_id text not null,
      tool_name text not null,
      state text not null default 'CLOSED',
      reason text null,
      failure_count int not null default 0,
      failure_threshold int not null default 5,
      cooldown_seconds int not null default 60,
      last_failure_at timestamptz null,
      opened_at timestamptz null,
      probe_task_id text null,
      probe_attempt int null,
      version int not null default 1,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      metadata jsonb not null default '{}',
      primary key (breaker_id)
    )`);
    this.addSql(`alter table circuit_breakers add constraint circuit_breakers_one_a_tool unique (tool_name)`);
    this.addSql(
      `alter table circuit_breakers add constraint circuit_breakers_state_known check (state = any (array['CLOSED', 'OPEN', 'HALF_OPEN']))`,
    );
    this.addSql(`alter table circuit_breakers add constraint circuit_breakers_count check (failure_count >= 0)`);
    this.addSql(`alter table circuit_breakers add constraint circuit_breakers_threshold check (failure_threshold > 0)`);
    this.addSql(`alter table circuit_breakers add constraint circuit_breakers_cooldown check (cooldown_seconds > 0)`);
    this.addSql(`create index circuit_breakers_tool on circuit_breakers (tool_name)`);
    this.addSql(`create index circuit_breakers_state on circuit_breakers (state)`);
  }

  override down(): void {
    this.addSql('drop table circuit_breakers');
  }
}
