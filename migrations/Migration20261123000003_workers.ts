import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000003_workers extends Migration {
  override up(): void {
    this.addSql(`
    create table workers (
      worker_id text not null,
      state text not null default 'IDLE',
      last_heartbeat timestamptz not null default now(),
      reason text null,
      hostname text null,
      pid int null,
      pools text[] not null default '{default}',
      task_slots int not null default 1,
      gate_slots int not null default 1,
      draining boolean not null default false,
      stopped_at timestamptz null,
      version int not null default 1,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      metadata jsonb not null default '{}',
      primary key (worker_id)
    )`);
    this.addSql(
      `alter table workers add constraint workers_state_known check (state = any (array['IDLE', 'BUSY', 'UNHEALTHY', 'DEAD', 'STOPPED']))`,
    );
    this.addSql(`create index workers_state on workers (state)`);
    this.addSql(`create index workers_last_heartbeat on workers (last_heartbeat desc)`);
  }

  override down(): void {
    this.addSql('drop table workers');
  }
}
