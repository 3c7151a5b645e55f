import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000010_dependencies extends Migration {
  override up(): void {
    this.addSql(`
    create table task_dependencies (
      task_id text not null,
      depends_on_id text not null,
      satisfied_at timestamptz null,
      primary key (task_id, depends_on_id)
    )`);
    this.addSql(
      `alter table task_dependencies add constraint task_dependencies_task_fk foreign key (task_id) references tasks (task_id) on update no action on delete cascade`,
    );
    this.addSql(
      `alter table task_dependencies add constraint task_dependencies_on_fk foreign key (depends_on_id) references tasks (task_id) on update no action on delete cascade`,
    );
    this.addSql(`create index task_dependencies_reverse on task_dependencies (depends_on_id)`);
    this.addSql(`
    create table workstream_dependencies (
      workstream_id text not null,
      depends_on_id text not null,
      satisfied_at timestamptz null,
      primary key (workstream_id, depends_on_id)
    )`);
    this.addSql(
      `alter table workstream_dependencies add constraint workstream_dependencies_workstream_fk foreign key (workstream_id) references workstreams (workstream_id) on update no action on delete cascade`,
    );
    this.addSql(
      `alter table workstream_dependencies add constraint workstream_dependencies_on_fk foreign key (depends_on_id) references workstreams (workstream_id) on update no action on delete cascade`,
    );
    this.addSql(`create index workstream_dependencies_reverse on workstream_dependencies (depends_on_id)`);
  }

  override down(): void {
    this.addSql('drop table workstream_dependencies');
    this.addSql('drop table task_dependencies');
  }
}
