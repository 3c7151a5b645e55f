import { Migration } from '@mikro-orm/migrations';

/** Keys verdicts by execution, so that a row is written once and never updated. Adds the name of the daemon's role. */
export class Migration20261126000022_append_only extends Migration {
  override up(): void {
    this.addSql(`alter table gate_verdicts drop constraint gate_verdicts_pkey, drop column updated_at`);
    this.addSql(`alter table gate_verdicts add primary key (tree_id, digest, gate_id)`);
    this.addSql(`alter table installation add column daemon_role text null`);
  }

  override down(): void {
    this.addSql(`alter table installation drop column daemon_role`);
    this.addSql(`
      delete from gate_verdicts v using gate_verdicts o
      where (o.tree_id, o.digest) = (v.tree_id, v.digest) and (o.passed, o.created_at, o.gate_id) > (v.passed, v.created_at, v.gate_id)`);
    this.addSql(`alter table gate_verdicts drop constraint gate_verdicts_pkey`);
    this.addSql(`alter table gate_verdicts add column updated_at timestamptz not null default now()`);
    this.addSql(`alter table gate_verdicts add primary key (tree_id, digest)`);
  }
}
