import { Migration } from '@mikro-orm/migrations';

/** Serves lists of tasks by tool and by run in the order of their pages. */
export class Migration20261126000027_indexes_for_lists extends Migration {
  override up(): void {
    this.addSql(`create index tasks_tool on tasks (tool, task_id)`);
    this.addSql(`drop index tasks_run`);
    this.addSql(`create index tasks_run on tasks (run_id, task_id)`);
  }

  override down(): void {
    this.addSql(`drop index tasks_run`);
    this.addSql(`create index tasks_run on tasks (run_id)`);
    this.addSql(`drop index tasks_tool`);
  }
}
