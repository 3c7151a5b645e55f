import { Migration } from '@mikro-orm/migrations';

/** Marks workstreams that run and have tasks left to queue, because a large one is started in several transactions. */
export class Migration20261126000026_starts_in_batches extends Migration {
  override up(): void {
    this.addSql(`alter table workstreams add column starting boolean not null default false`);
    this.addSql(`create index workstreams_starting on workstreams (workstream_id) where starting`);
    this.addSql(`create index tasks_pending on tasks (workstream_id, task_id) where state = 'PENDING'`);
  }

  override down(): void {
    this.addSql(`drop index tasks_pending`);
    this.addSql(`drop index workstreams_starting`);
    this.addSql(`alter table workstreams drop column starting`);
  }
}
