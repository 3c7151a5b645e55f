import { Migration } from '@mikro-orm/migrations';

const BY_STATE = [
  ['runs', 'run_id'],
  ['workstreams', 'workstream_id'],
  ['tasks', 'task_id'],
  ['patches', 'patch_id'],
  ['test_gates', 'gate_id'],
] as const;

/**
 * Finds gates by the patches that they tested. Indexes by state take the id as their second column: under stale
 * statistics the planner prefers them to the primary key, and a row must be found by its id in them as well.
 */
export class Migration20261126000025_indexes_that_serve extends Migration {
  override up(): void {
    this.addSql(`create index test_gates_patches on test_gates using gin (patch_ids)`);
    for (const [table, key] of BY_STATE) {
      this.addSql(`drop index ${table}_state`);
      this.addSql(`create index ${table}_state on ${table} (state, ${key})`);
    }
  }

  override down(): void {
    for (const [table] of BY_STATE) {
      this.addSql(`drop index ${table}_state`);
      this.addSql(`create index ${table}_state on ${table} (state)`);
    }
    this.addSql(`drop index test_gates_patches`);
  }
}
