import { Migration } from '@mikro-orm/migrations';

/** Why a coordinator cannot do its work stands on its target, and when an operator last gave an order there. */
export class Migration20261126000018_target_faults extends Migration {
  override up(): void {
    this.addSql(`alter table targets add column fault jsonb null, add column steered_at timestamptz null`);
  }

  override down(): void {
    this.addSql(`alter table targets drop column fault, drop column steered_at`);
  }
}
