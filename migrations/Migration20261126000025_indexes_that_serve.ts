import { Migration } from '@mikro-orm/migrations';

/** Finds gates by the patches that they tested, and tasks of a state by their id. */
export class Migration20261126000025_indexes_that_serve extends Migration {
  override up(): void {
    this.addSql(`create index test_gates_patches on test_gates using gin (patch_ids)`);
    this.addSql(`drop index tasks_state`);
    this.addSql(`create index tasks_state on tasks (state, task_id)`);
  }

  override down(): void {
    this.addSql(`drop index tasks_state`);
    this.addSql(`create index tasks_state on tasks (state)`);
    this.addSql(`drop index test_gates_patches`);
  }
}
