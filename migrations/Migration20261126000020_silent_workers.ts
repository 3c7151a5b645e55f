import { Migration } from '@mikro-orm/migrations';

/** Records since when a worker's main thread is stalled, and how many workers stalled or crashed over a task. */
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
