import type { DeliveryOutcome } from '../contract/states.ts';
import { WebhookDelivery, type WebhookDeliveryRow } from '../entities/webhook.ts';
import { BaseDao, type EntitySource, type Page } from './base-dao.ts';

export class WebhookDeliveryDao extends BaseDao<WebhookDeliveryRow> {
  constructor(source: EntitySource) {
    super(source, { schema: WebhookDelivery, key: 'delivery_id', noun: 'delivery', idPrefix: 'msg' });
  }

  pageOf(
    filter: { webhook?: string | undefined; outcome?: DeliveryOutcome | undefined },
    page: Page,
  ): Promise<WebhookDeliveryRow[]> {
    return this.page(Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)), page);
  }
}
