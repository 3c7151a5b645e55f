import { Migration } from '@mikro-orm/migrations';

/** Adds what faults leave: repeated failures, refused writes, stalled workers, breakers tripped by hand, repairs. */
export class Migration20261125000019_faults_and_repairs extends Migration {
  override up(): void {
    this.addSql(`alter table tasks add column failure_fingerprint text null`);
    this.addSql(`create index tasks_completed_at on tasks (completed_at) where completed_at is not null`);
    this.addSql(`alter table workers
      add column refused_writes int not null default 0,
      add column starving_since timestamptz null,
      add constraint workers_refused_writes check (refused_writes >= 0)`);
    this.addSql(`alter table circuit_breakers
      add column counts_from timestamptz null,
      add column tripped_by text null`);
    this.addSql(`create index state_transitions_repairs on state_transitions (created_at) where actor = 'reconciler'`);
  }

  override down(): void {
    this.addSql(`drop index state_transitions_repairs`);
    this.addSql(`alter table circuit_breakers drop column tripped_by, drop column counts_from`);
    this.addSql(`alter table workers
      drop constraint workers_refused_writes, drop column starving_since, drop column refused_writes`);
    this.addSql(`drop index tasks_completed_at`);
    this.addSql(`alter table tasks drop column failure_fingerprint`);
  }
}
