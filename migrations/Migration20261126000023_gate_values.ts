import { Migration } from '@mikro-orm/migrations';

/** Stores keyed hashes of the variables that a worker gives to gates, by repository and name. */
export class Migration20261126000023_gate_values extends Migration {
  override up(): void {
    this.addSql(`alter table workers add column gate_values jsonb not null default '{}'`);
  }

  override down(): void {
    this.addSql(`alter table workers drop column gate_values`);
  }
}
