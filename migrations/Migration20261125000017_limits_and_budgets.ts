import { Migration } from '@mikro-orm/migrations';

/** Adds limits and budgets: of runs with a key, of tasks, of tools with their use, and of repositories. */
export class Migration20261125000017_limits_and_budgets extends Migration {
  override up(): void {
    this.addSql(`alter table runs
      add column concurrency_key text null,
      add column concurrency_max int null,
      add column key_since timestamptz not null default now(),
      add column supersede boolean not null default false,
      add column budget_usd double precision null,
      add column cost_usd double precision not null default 0,
      add constraint runs_budget check (cost_usd = abs(cost_usd) and (budget_usd is null or budget_usd = abs(budget_usd))),
      add constraint runs_concurrency check (concurrency_key is null or concurrency_max > 0)`);
    this.addSql(`create index runs_holding_key on runs (concurrency_key, key_since, run_id)
      where concurrency_key is not null and state in ('INITIALIZING', 'RUNNING', 'PAUSED')`);
    this.addSql(`alter table tasks
      add column budget_usd double precision null,
      add column cost_usd double precision not null default 0,
      add column costed_attempts int[] not null default '{}',
      add constraint tasks_budget check (cost_usd = abs(cost_usd) and (budget_usd is null or budget_usd = abs(budget_usd)))`);
    this.addSql(`alter table circuit_breakers
      add column concurrency int null,
      add column rate_max int null,
      add column rate_per_seconds int null,
      add column usd_per_day double precision null,
      add constraint circuit_breakers_concurrency check (concurrency is null or concurrency > 0),
      add constraint circuit_breakers_rate check (rate_max is null or (rate_max > 0 and rate_per_seconds > 0)),
      add constraint circuit_breakers_budget check (usd_per_day is null or usd_per_day = abs(usd_per_day))`);
    this.addSql(`
    create table repositories (
      repository text not null,
      concurrency int null,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      metadata jsonb not null default '{}',
      primary key (repository),
      constraint repositories_concurrency check (concurrency is null or concurrency > 0)
    )`);
    this.addSql(`
    create table tool_starts (
      task_id text not null,
      attempt int not null,
      tool_name text not null,
      started_at timestamptz not null default now(),
      primary key (task_id, attempt)
    )`);
    this.addSql(`create index tool_starts_tool on tool_starts (tool_name, started_at)`);
    this.addSql(`
    create table tool_costs (
      tool_name text not null,
      day date not null,
      usd double precision not null default 0,
      primary key (tool_name, day),
      constraint tool_costs_usd check (usd = abs(usd))
    )`);
  }

  override down(): void {
    for (const table of ['tool_costs', 'tool_starts', 'repositories']) this.addSql(`drop table ${table}`);
    this.addSql(`alter table circuit_breakers
      drop constraint circuit_breakers_budget, drop constraint circuit_breakers_rate,
      drop constraint circuit_breakers_concurrency, drop column usd_per_day, drop column rate_per_seconds,
      drop column rate_max, drop column concurrency`);
    this.addSql(`alter table tasks
      drop constraint tasks_budget, drop column costed_attempts, drop column cost_usd, drop column budget_usd`);
    this.addSql(`drop index runs_holding_key`);
    this.addSql(`alter table runs
      drop constraint runs_concurrency, drop constraint runs_budget, drop column cost_usd, drop column budget_usd,
      drop column supersede, drop column key_since, drop column concurrency_max, drop column concurrency_key`);
  }
}
