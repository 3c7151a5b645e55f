import { Migration } from '@mikro-orm/migrations';

/** Since when a worker's main thread stands still, and how many workers died so, or crashed, while they ran a task. */
export class Migration20261126000020_silent_workers extends Migration {
  override up(): void {
    this.addSql(`alter table workers add column stalled_since timestamptz null`);
    this.addSql(`alter table tasks add column worker_deaths int not null default 0`);
  }

  override down(): void {
    this.addSql(`alter table tasks drop column worker_deaths`);
    this.addSql(`alter table workers drop column stalled_since`);
  }
}
