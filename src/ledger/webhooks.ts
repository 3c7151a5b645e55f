import { SluiceError } from '../contract/errors.ts';
import type { DeliveryOutcome } from '../contract/states.ts';
import { type Reader, sql, type Tx } from '../database/database.ts';
import { storableJson } from '../lib/storable.ts';

export interface WebhookPlace {
  cursor: string;
  /** Pauses and resumptions of targets since then are not announced yet. */
  targets_since: string;
}

export interface NewDelivery {
  delivery_id: string;
  event_id: string;
  type: string;
  body: string;
}

/** A delivery to attempt now. `attempts` counts this one. */
export interface DueDelivery extends NewDelivery {
  attempts: number;
}

/** Returns the place of a webhook. A new one begins with the changes that commit from now on. */
export async function webhookPlace(reader: Reader, webhook: string): Promise<WebhookPlace> {
  const read = () =>
    reader.query<WebhookPlace>(sql`
      select cursor, targets_since::text as targets_since from webhook_cursors where webhook = ${webhook}`);
  const [known] = await read();
  if (known !== undefined) return known;
  await reader.query(sql`
    insert into webhook_cursors (webhook, cursor, targets_since)
    values (${webhook}, pg_snapshot_xmin(pg_current_snapshot())::text || '-0', now()) on conflict do nothing`);
  return (await read())[0]!;
}

export interface TargetPause {
  target_id: string;
  paused: boolean;
  at: string;
  by: string | null;
  reason: string | null;
}

/** Transactions that paused a target before `since` and committed later than that are seen again for so long. */
const LATE_COMMIT = sql`interval '30 seconds'`;

/** Returns pauses and resumptions of targets, oldest first. */
export function targetPausesSince(reader: Reader, since: string): Promise<TargetPause[]> {
  return reader.query<TargetPause>(sql`
    select target_id, paused, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, by, reason
    from targets cross join lateral (values
      (true, paused_at, paused_by, pause_reason), (false, resumed_at, null, null)) as change(paused, at, by, reason)
    where at > ${since}::timestamptz - ${LATE_COMMIT} order by at`);
}

/**
 * Stores deliveries and moves the webhook on. Does nothing when another process has moved it, which has stored the same
 * deliveries. An event that was stored before is left out.
 */
export async function storeDeliveries(
  tx: Tx,
  { webhook, from, to, deliveries }: { webhook: string; from: string; to: string; deliveries: readonly NewDelivery[] },
): Promise<void> {
  const moved = await tx.query(sql`
    update webhook_cursors set cursor = ${to}, targets_since = now() where webhook = ${webhook} and cursor = ${from}
    returning webhook`);
  if (moved.length === 0 || deliveries.length === 0) return;
  await tx.query(sql`
    insert into webhook_deliveries (delivery_id, webhook, event_id, type, body)
    select d.delivery_id, ${webhook}, d.event_id, d.type, d.body
    from jsonb_to_recordset(${storableJson(deliveries)}::jsonb)
      as d(delivery_id text, event_id text, type text, body text)
    on conflict (webhook, event_id, type) do nothing`);
}

/** Takes due deliveries for `leaseMs`; when this process dies, they are due again then. */
export function claimDeliveries(
  reader: Reader,
  { webhook, limit, leaseMs }: { webhook: string; limit: number; leaseMs: number },
): Promise<DueDelivery[]> {
  return reader.query<DueDelivery>(sql`
    update webhook_deliveries d
    set attempts = d.attempts + 1, next_attempt_at = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    where delivery_id in (
      select delivery_id from webhook_deliveries
      where outcome = 'pending' and next_attempt_at <= now() and webhook = ${webhook}
      order by next_attempt_at limit ${limit} for update skip locked)
    returning delivery_id, event_id, type, body, attempts`);
}

/** Result of one attempt. `againInMs` undefined: there is no further attempt. */
export interface DeliveryResult {
  delivered: boolean;
  status: number | null;
  error: string | null;
  againInMs?: number | undefined;
}

export async function settleDelivery(
  reader: Reader,
  deliveryId: string,
  { delivered, status, error, againInMs }: DeliveryResult,
): Promise<void> {
  const outcome: DeliveryOutcome = delivered ? 'delivered' : againInMs === undefined ? 'failed' : 'pending';
  const nextInSeconds = outcome === 'pending' ? againInMs! / 1000 : null;
  await reader.query(sql`
    update webhook_deliveries
    set outcome = ${outcome}, status = ${status}, error = ${error},
        settled_at = case when ${outcome}::text <> 'pending' then now() end,
        next_attempt_at = now() + make_interval(secs => ${nextInSeconds}::float8)
    where delivery_id = ${deliveryId} and outcome = 'pending'`);
}

/** Sends a delivery again, whatever became of it, with all its attempts. Throws `entity.not_found`. */
export async function replayDelivery(tx: Tx, deliveryId: string): Promise<void> {
  const found = await tx.query(sql`
    update webhook_deliveries
    set outcome = 'pending', attempts = 0, next_attempt_at = now(), settled_at = null
    where delivery_id = ${deliveryId} returning delivery_id`);
  if (found.length === 0) throw new SluiceError('entity.not_found', `there is no delivery ${deliveryId}`);
}
