import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000013_log_chunks extends Migration {
  override up(): void {
    this.addSql(`
    create table log_chunks (
      chunk_id bigserial primary key,
      task_id text not null,
      gate_id text null,
      attempt int not null,
      stream text not null,
      text text not null,
      created_at timestamptz not null default now()
    )`);
    this.addSql(
      `alter table log_chunks add constraint log_chunks_task_fk foreign key (task_id) references tasks (task_id) on delete cascade`,
    );
    this.addSql(
      `alter table log_chunks add constraint log_chunks_gate_fk foreign key (gate_id) references test_gates (gate_id) on delete cascade`,
    );
    this.addSql(`create index log_chunks_task on log_chunks (task_id, chunk_id)`);
    this.addSql(`create index log_chunks_gate on log_chunks (gate_id, chunk_id)`);
  }

  override down(): void {
    this.addSql('drop table log_chunks');
  }
}
