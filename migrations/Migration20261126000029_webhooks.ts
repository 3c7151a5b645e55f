import { Migration } from '@mikro-orm/migrations';

/** Deliveries to webhooks, and the place up to which each has been told everything. */
export class Migration20261126000029_webhooks extends Migration {
  override up(): void {
    this.addSql(`
    create table webhook_cursors (
      webhook text not null,
      cursor text not null,
      targets_since timestamptz not null,
      primary key (webhook)
    )`);
    this.addSql(`
    create table webhook_deliveries (
      delivery_id text not null,
      webhook text not null,
      event_id text not null,
      type text not null,
      outcome text not null default 'pending',
      body text not null,
      attempts int not null default 0,
      next_attempt_at timestamptz null default now(),
      status int null,
      error text null,
      settled_at timestamptz null,
      created_at timestamptz not null default now(),
      primary key (delivery_id),
      constraint webhook_deliveries_outcome check (outcome = any (array['pending', 'delivered', 'failed']))
    )`);
    this.addSql(`create unique index webhook_deliveries_once on webhook_deliveries (webhook, event_id, type)`);
    this.addSql(
      `create index webhook_deliveries_due on webhook_deliveries (webhook, next_attempt_at) where outcome = 'pending'`,
    );
    this.addSql(`create index webhook_deliveries_by_outcome on webhook_deliveries (outcome, delivery_id)`);
  }

  override down(): void {
    this.addSql(`drop table webhook_deliveries`);
    this.addSql(`drop table webhook_cursors`);
  }
}
