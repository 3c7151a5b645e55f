import type { EventObject } from '../contract/answers.ts';
import { type WebhookDefinition, webhookName } from '../contract/config-schema.ts';
import { explained } from '../contract/reasons.ts';
import type { TransitionDao, TransitionEvent } from '../dao/transition-dao.ts';
import { announces, eventTypesOf } from '../domain/announcement.ts';
import type { Ledger } from '../ledger/ledger.ts';
import {
  claimDeliveries,
  type DeliveryResult,
  type DueDelivery,
  type NewDelivery,
  settleDelivery,
  storeDeliveries,
  type TargetPause,
  targetPausesSince,
  type WebhookPlace,
  webhookPlace,
} from '../ledger/webhooks.ts';
import { newId } from '../lib/id.ts';
import type { Log } from '../lib/log.ts';
import { postJson } from '../lib/post-json.ts';
import { signWebhook } from '../lib/webhook-signature.ts';

export interface SendWebhooksDeps {
  ledger: Ledger;
  transitions: TransitionDao;
  webhook: WebhookDefinition;
  environment: Readonly<Record<string, string | undefined>>;
  log: Log;
}

const EVENTS = 500;
const AT_ONCE = 10;
const TIMEOUT_MS = 15_000;
const LEASE_MS = 60_000;
const MINUTE_MS = 60_000;
/** A webhook that was not configured for a while is told of the last three days, and not of all that it missed. */
const OLDEST_MS = 3 * 24 * 60 * MINUTE_MS;
/** Pauses before each further attempt, as Standard Webhooks recommends. */
const AGAIN_AFTER_MS = [5_000, 5 * MINUTE_MS, ...[0.5, 2, 5, 10, 14, 20, 24].map((hours) => hours * 60 * MINUTE_MS)];
/** HTTP 410: the receiver does not want it, now or later. */
const GONE = 410;

/** An event and the types that it is announced as. */
interface Announced {
  id: string;
  types: string[];
  at: string;
  summary: string;
  data: unknown;
}

/**
 * Stage: tells one webhook of state transitions, so that a receiver that is slow or dead holds up no other. Each event
 * is stored as a delivery first, so it is sent at least once, whatever dies; a receiver tells repetitions by
 * `webhook-id`.
 */
export class SendWebhooks {
  readonly #deps: SendWebhooksDeps;
  readonly #name: string;

  constructor(deps: SendWebhooksDeps) {
    this.#deps = deps;
    this.#name = webhookName(deps.webhook);
  }

  async round(signal: AbortSignal): Promise<'again' | undefined> {
    const { ledger } = this.#deps;
    const isFull = await this.#gather(await ledger.apart((tx) => webhookPlace(tx, this.#name)));
    const order = { webhook: this.#name, limit: AT_ONCE, leaseMs: LEASE_MS };
    const due = await ledger.apart((tx) => claimDeliveries(tx, order));
    await Promise.all(due.map((delivery) => this.#attempt(delivery, signal)));
    return due.length === AT_ONCE || isFull ? 'again' : undefined;
  }

  /** Stores a delivery for each change that the webhook asks for. True when there may be more changes. */
  async #gather({ cursor, targets_since }: WebhookPlace): Promise<boolean> {
    const { ledger, transitions, webhook: definition } = this.#deps;
    const webhook = this.#name;
    const events = await transitions.readAfter(cursor, { limit: EVENTS });
    const pauses = await ledger.apart((tx) => targetPausesSince(tx, targets_since));
    const oldest = Date.now() - OLDEST_MS;
    const all = [...events.map(ofTransition), ...pauses.map(ofTarget)];
    const announced = all.filter(({ at }) => Date.parse(at) > oldest);
    const deliveries = announced.flatMap((event) => deliveriesOf(event, definition));
    const last = events.at(-1);
    if (last === undefined && deliveries.length === 0) return false;
    const to = last?.cursor ?? cursor;
    await ledger.write((tx) => storeDeliveries(tx, { webhook, from: cursor, to, deliveries }));
    return events.length === EVENTS;
  }

  async #attempt(delivery: DueDelivery, signal: AbortSignal): Promise<void> {
    const { ledger, log } = this.#deps;
    const { delivery_id: deliveryId, type, attempts } = delivery;
    const result = await this.#post(delivery, signal);
    // A stop of this process says nothing about the receiver: the delivery is due again when its lease is over.
    if (signal.aborted && !result.delivered) return;
    await ledger.apart((tx) => settleDelivery(tx, deliveryId, result));
    const { delivered, status, error } = result;
    log[delivered ? 'debug' : 'warn'](
      { deliveryId, webhook: this.#name, type, attempts, status, error },
      'webhook.attempted',
    );
  }

  async #post({ delivery_id: id, body, attempts }: DueDelivery, signal: AbortSignal): Promise<DeliveryResult> {
    const { environment, webhook } = this.#deps;
    const { url, secret_env, allow_private: allowPrivate } = webhook;
    const seconds = Math.floor(Date.now() / 1_000);
    const secret = secret_env === undefined ? undefined : environment[secret_env];
    const headers = {
      'user-agent': 'Sluice',
      'webhook-id': id,
      'webhook-timestamp': String(seconds),
      ...(secret === undefined ? {} : { 'webhook-signature': signWebhook(secret, { id, seconds, body }) }),
    };
    const againInMs = AGAIN_AFTER_MS[attempts - 1];
    try {
      if (secret_env !== undefined && secret === undefined) throw new Error(`the variable ${secret_env} is not set`);
      const status = await postJson({ url, body, headers, timeoutMs: TIMEOUT_MS, allowPrivate, signal });
      const delivered = status >= 200 && status < 300;
      const error = delivered ? null : `the receiver answered ${status}`;
      return { delivered, status, error, againInMs: status === GONE ? undefined : againInMs };
    } catch (error) {
      return { delivered: false, status: null, error: (error as Error).message, againInMs };
    }
  }
}

function deliveriesOf({ id, types, at, summary, data }: Announced, definition: WebhookDefinition): NewDelivery[] {
  const wanted = types.filter((type) => definition.events.some((pattern) => announces(pattern, type)));
  return wanted.map((type) => {
    const body = definition.format === 'slack' ? { text: summary } : { type, timestamp: at, data };
    return { delivery_id: newId('msg'), event_id: id, type, body: JSON.stringify(body) };
  });
}

function ofTransition({ cursor, ...event }: TransitionEvent): Announced {
  const reason = event.reason === null ? '' : `: ${explained(event.reason)}`;
  const summary = `${event.kind} ${event.entity_id} is ${event.to_state}${reason}`;
  const data: EventObject & { summary: string } = { id: cursor, ...event, summary };
  return { id: cursor, types: eventTypesOf(event), at: event.at, summary, data };
}

function ofTarget({ target_id, paused, at, by, reason }: TargetPause): Announced {
  const summary = paused ? `target ${target_id} is paused by ${by}: ${reason}` : `target ${target_id} lands again`;
  const data = { target_id, by, reason, at, summary };
  return { id: `${target_id} ${at}`, types: [paused ? 'target.paused' : 'target.resumed'], at, summary, data };
}
