import { Migration } from '@mikro-orm/migrations';

/** Tells since when a worker takes no work because its data folder is over the budget of its disk. */
export class Migration20261127000033_disk_budget extends Migration {
  override up(): void {
    this.addSql(`alter table workers add column over_disk_since timestamptz null`);
  }

  override down(): void {
    this.addSql(`alter table workers drop column over_disk_since`);
  }
}
