import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000015_installation extends Migration {
  override up(): void {
    this.addSql(`
    create table installation (
      installation_id text not null,
      created_at timestamptz not null default now(),
      primary key (installation_id)
    )`);
    this.addSql(`insert into installation (installation_id) values (replace(gen_random_uuid()::text, '-', ''))`);
  }

  override down(): void {
    this.addSql('drop table installation');
  }
}
