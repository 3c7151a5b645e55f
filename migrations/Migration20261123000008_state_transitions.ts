import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000008_state_transitions extends Migration {
  override up(): void {
    this.addSql(`
    create table state_transitions (
      transition_id bigserial primary key,
      xid xid8 not null default pg_current_xact_id(),
      kind text not null,
      entity_id text not null,
      run_id text null,
      attempt int null,
      from_state text null,
      to_state text not null,
      reason text null,
      actor text not null,
      forced boolean not null default false,
      detail jsonb null,
      created_at timestamptz not null default now()
    )`);
    this.addSql(`create index state_transitions_order on state_transitions (xid, transition_id)`);
    this.addSql(`create index state_transitions_entity on state_transitions (entity_id)`);
    this.addSql(`create index state_transitions_run on state_transitions (run_id, xid, transition_id)`);
  }

  override down(): void {
    this.addSql('drop table state_transitions');
  }
}
