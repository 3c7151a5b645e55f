import { Migration } from '@mikro-orm/migrations';

/** Serves lists of tasks by tool and by run in the order of their pages, and the gates that a worker has run. */
export class Migration20261126000027_indexes_for_lists extends Migration {
  override up(): void {
    this.addSql(`create index tasks_tool on tasks (tool, task_id)`);
    this.addSql(`drop index tasks_run`);
    this.addSql(`create index tasks_run on tasks (run_id, task_id)`);
    this.addSql(`create index test_gates_claimed_by on test_gates (claimed_by)`);
  }

  override down(): void {
    this.addSql(`drop index test_gates_claimed_by`);
    this.addSql(`drop index tasks_run`);
    this.addSql(`create index tasks_run on tasks (run_id)`);
    this.addSql(`drop index tasks_tool`);
  }
}
