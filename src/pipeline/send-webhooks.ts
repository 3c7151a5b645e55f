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
  webhookPlaces,
} from '../ledger/webhooks.ts';
import { newId } from '../lib/id.ts';
import type { Log } from '../lib/log.ts';
import { postJson } from '../lib/post-json.ts';
import { signWebhook } from '../lib/webhook-signature.ts';

export interface SendWebhooksDeps {
  ledger: Ledger;
  transitions: TransitionDao;
  webhooks: readonly WebhookDefinition[];
  environment: Readonly<Record<string, string | undefined>>;
  log: Log;
}

const EVENTS = 500;
const AT_ONCE = 10;
const TIMEOUT_MS = 15_000;
const LEASE_MS = 60_000;
const MINUTE_MS = 60_000;
/** Pauses before each further attempt, as Standard Webhooks recommends. */
const AGAIN_AFTER_MS = [5_000, 5 * MINUTE_MS, ...[0.5, 2, 5, 10, 14, 20, 24].map((hours) => hours * 60 * MINUTE_MS)];
/** HTTP 410: the receiver wants no more. */
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
 * Stage: tells webhooks of state transitions. Each event is stored as a delivery first, so it is sent at least once,
 * whatever dies; a receiver tells repetitions by `webhook-id`.
 */
export class SendWebhooks {
  readonly #deps: SendWebhooksDeps;
  readonly #webhooks: ReadonlyMap<string, WebhookDefinition>;

  constructor(deps: SendWebhooksDeps) {
    this.#deps = deps;
    this.#webhooks = new Map(deps.webhooks.map((webhook) => [webhookName(webhook), webhook]));
  }

  async round(): Promise<'again' | undefined> {
    const { ledger } = this.#deps;
    const webhooks = [...this.#webhooks.keys()];
    const places = await ledger.apart((tx) => webhookPlaces(tx, webhooks));
    const full = await Promise.all([...places].map(([webhook, place]) => this.#gather(webhook, place)));
    const order = { webhooks, limit: AT_ONCE, leaseMs: LEASE_MS };
    const due = await ledger.apart((tx) => claimDeliveries(tx, order));
    await Promise.all(due.map((delivery) => this.#attempt(delivery)));
    return due.length === AT_ONCE || full.includes(true) ? 'again' : undefined;
  }

  /** Stores a delivery for each change that the webhook asks for. True when there may be more changes. */
  async #gather(webhook: string, { cursor, targets_since }: WebhookPlace): Promise<boolean> {
    const { ledger, transitions } = this.#deps;
    const definition = this.#webhooks.get(webhook)!;
    const events = await transitions.readAfter(cursor, { limit: EVENTS });
    const pauses = await ledger.apart((tx) => targetPausesSince(tx, targets_since));
    const announced = [...events.map(ofTransition), ...pauses.map(ofTarget)];
    const deliveries = announced.flatMap((event) => deliveriesOf(event, definition));
    const last = events.at(-1);
    if (last === undefined && deliveries.length === 0) return false;
    const to = last?.cursor ?? cursor;
    await ledger.write((tx) => storeDeliveries(tx, { webhook, from: cursor, to, deliveries }));
    return events.length === EVENTS;
  }

  async #attempt(delivery: DueDelivery): Promise<void> {
    const { ledger, log } = this.#deps;
    const { delivery_id: deliveryId, webhook, type, attempts } = delivery;
    const result = await this.#post(delivery);
    await ledger.apart((tx) => settleDelivery(tx, deliveryId, result));
    const { delivered, status, error } = result;
    log[delivered ? 'debug' : 'warn']({ deliveryId, webhook, type, attempts, status, error }, 'webhook.attempted');
  }

  async #post({ webhook, delivery_id: id, body, attempts }: DueDelivery): Promise<DeliveryResult> {
    const { environment } = this.#deps;
    const { url, secret_env, allow_private: allowPrivate } = this.#webhooks.get(webhook)!;
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
      const status = await postJson({ url, body, headers, timeoutMs: TIMEOUT_MS, allowPrivate });
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
