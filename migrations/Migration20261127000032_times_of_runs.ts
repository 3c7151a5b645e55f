import { Migration } from '@mikro-orm/migrations';

/** Serves the times of runs that ended in the last hour, and the look for runs that are kept long enough. */
export class Migration20261127000032_times_of_runs extends Migration {
  override up(): void {
    this.addSql(`create index runs_completed_at on runs (completed_at) where completed_at is not null`);
  }

  override down(): void {
    this.addSql(`drop index runs_completed_at`);
  }
}
