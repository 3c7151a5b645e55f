import { Migration } from '@mikro-orm/migrations';

/** Finds gates that ended lately, which the reconciler asks for each second. */
export class Migration20261126000024_ended_gates extends Migration {
  override up(): void {
    this.addSql(`create index test_gates_completed_at on test_gates (completed_at) where completed_at is not null`);
  }

  override down(): void {
    this.addSql(`drop index test_gates_completed_at`);
  }
}
