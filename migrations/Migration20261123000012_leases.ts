import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000012_leases extends Migration {
  override up(): void {
    this.addSql(`
    create table leases (
      name text not null,
      holder text not null,
      epoch int not null,
      expires_at timestamptz not null,
      primary key (name)
    )`);
  }

  override down(): void {
    this.addSql('drop table leases');
  }
}
