import { Migration } from '@mikro-orm/migrations';

/** Serves the patches and gates of a run, in the order in which they are read in batches. */
export class Migration20261126000028_parts_of_a_run extends Migration {
  override up(): void {
    this.addSql(`create index patches_run on patches (run_id, patch_id)`);
    this.addSql(`create index test_gates_run on test_gates (run_id, gate_id)`);
  }

  override down(): void {
    this.addSql(`drop index test_gates_run`);
    this.addSql(`drop index patches_run`);
  }
}
