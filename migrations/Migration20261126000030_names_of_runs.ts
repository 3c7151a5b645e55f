import { Migration } from '@mikro-orm/migrations';

/** Serves the newest run of a name. */
export class Migration20261126000030_names_of_runs extends Migration {
  override up(): void {
    this.addSql(`create index runs_name on runs (name, run_id)`);
  }

  override down(): void {
    this.addSql(`drop index runs_name`);
  }
}
