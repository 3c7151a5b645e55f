import { Migration } from '@mikro-orm/migrations';

/**
 * Records how each worker confines children, how each gate execution was confined, and which worker claimed it ('' for
 * executions before this migration). Adds seals of verdicts.
 */
export class Migration20261126000019_confinement extends Migration {
  override up(): void {
    this.addSql(`alter table workers add column confinement text null`);
    this.addSql(`alter table test_gates add column confinement text null, add column claimed_by text null`);
    this.addSql(`update test_gates set claimed_by = '' where state = 'PASSED'`);
    this.addSql(`alter table gate_verdicts add column seal text null`);
    this.addSql(`alter table installation add column verdict_key text null, add column sealed_since timestamptz null`);
  }

  override down(): void {
    this.addSql(`alter table installation drop column verdict_key, drop column sealed_since`);
    this.addSql(`alter table gate_verdicts drop column seal`);
    this.addSql(`alter table test_gates drop column confinement, drop column claimed_by`);
    this.addSql(`alter table workers drop column confinement`);
  }
}
