import { Migration } from '@mikro-orm/migrations';

/** Adds to targets the fault that keeps a coordinator from its work, and the time of the last operator order. */
export class Migration20261126000018_target_faults extends Migration {
  override up(): void {
    this.addSql(`alter table targets add column fault jsonb null, add column steered_at timestamptz null`);
  }

  override down(): void {
    this.addSql(`alter table targets drop column fault, drop column steered_at`);
  }
}
