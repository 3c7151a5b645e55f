import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { DELIVERY_OUTCOMES, type DeliveryOutcome } from '../contract/states.ts';
import { inList, instant } from './columns.ts';

/** The place up to which a webhook has been told every change. */
export const WebhookCursor = defineEntity({
  name: 'WebhookCursor',
  tableName: 'webhook_cursors',
  properties: {
    webhook: p.text().primary(),
    /** The id of the last event; see `TransitionCursor`. */
    cursor: p.text(),
    targets_since: instant(),
  },
});

/** One event for one webhook. `body` is sent as it is, so that a repetition has the same signature. */
export const WebhookDelivery = defineEntity({
  name: 'WebhookDelivery',
  tableName: 'webhook_deliveries',
  checks: [{ name: 'webhook_deliveries_outcome', expression: inList('outcome', DELIVERY_OUTCOMES) }],
  uniques: [{ name: 'webhook_deliveries_once', properties: ['webhook', 'event_id', 'type'] }],
  indexes: [
    {
      name: 'webhook_deliveries_due',
      expression: `create index webhook_deliveries_due on webhook_deliveries (webhook, next_attempt_at) where outcome = 'pending'`,
    },
    { name: 'webhook_deliveries_by_outcome', properties: ['outcome', 'delivery_id'] },
  ],
  properties: {
    delivery_id: p.text().primary(),
    webhook: p.text(),
    event_id: p.text(),
    type: p.text(),
    outcome: p.text().$type<DeliveryOutcome>().default('pending'),
    body: p.text(),
    attempts: p.integer().default(0),
    next_attempt_at: instant().nullable().defaultRaw('now()'),
    /** HTTP status of the last answer. */
    status: p.integer().nullable(),
    error: p.text().nullable(),
    /** When it was delivered or given up. */
    settled_at: instant().nullable(),
    created_at: instant().defaultRaw('now()'),
  },
});
export type WebhookDeliveryRow = InferEntity<typeof WebhookDelivery>;
