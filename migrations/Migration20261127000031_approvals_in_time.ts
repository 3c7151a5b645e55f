import { Migration } from '@mikro-orm/migrations';

/** Serves the look for patches whose time to land is over, of which those that wait for an approval are now some. */
export class Migration20261127000031_approvals_in_time extends Migration {
  override up(): void {
    this.addSql(
      `create index patches_to_expire on patches (expires_at)
       where state in ('STAGED', 'QUARANTINED') and expires_at is not null`,
    );
  }

  override down(): void {
    this.addSql(`drop index patches_to_expire`);
  }
}
