import { Migration } from '@mikro-orm/migrations';

/** Adds the rank of waiting tasks, which a retry keeps, and the time that they may wait. */
export class Migration20261125000018_queue_rank extends Migration {
  override up(): void {
    this.addSql(`alter table tasks
      add column ranked_at timestamptz null,
      add column queue_timeout_seconds int null,
      add column queue_expires_at timestamptz null,
      add constraint tasks_queue_timeout check (queue_timeout_seconds is null or queue_timeout_seconds > 0)`);
    this.addSql(
      `update tasks set ranked_at = queued_at - make_interval(secs => 60 * priority) where queued_at is not null`,
    );
    this.addSql(`drop index tasks_to_admit`);
    this.addSql(
      `create index tasks_to_admit on tasks (pool, ranked_at, task_id) where state = 'QUEUED' and dispatched_at is null`,
    );
    this.addSql(
      `create index tasks_queue_expiry on tasks (queue_expires_at) where state = 'QUEUED' and queue_expires_at is not null`,
    );
  }

  override down(): void {
    this.addSql(`drop index tasks_queue_expiry`);
    this.addSql(`drop index tasks_to_admit`);
    this.addSql(
      `create index tasks_to_admit on tasks (pool, priority desc, queued_at, task_id) where state = 'QUEUED' and dispatched_at is null`,
    );
    this.addSql(`alter table tasks
      drop constraint tasks_queue_timeout, drop column queue_expires_at, drop column queue_timeout_seconds,
      drop column ranked_at`);
  }
}
