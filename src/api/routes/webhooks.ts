import { z } from 'zod';
import { pageOf } from '../../contract/answers.ts';
import { deliveryObject } from '../../contract/objects.ts';
import { DELIVERY_OUTCOMES } from '../../contract/states.ts';
import { replayDelivery } from '../../ledger/webhooks.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { Cursors, pageQuery } from '../cursor.ts';
import { present } from '../present.ts';
import { idParam } from '../schemas.ts';

const cursors = new Cursors('deliveries');

export function webhookRoutes(api: Api, { daos, ledger }: ApiDeps): void {
  api.get(
    '/v1/webhooks/deliveries',
    {
      config: { problems: ['cursor.invalid'] },
      schema: {
        operationId: 'listDeliveries',
        description: 'Events that webhooks were told, or will be, newest first.',
        tags: ['webhooks'],
        querystring: z.object({
          ...pageQuery,
          webhook: z.string().optional(),
          outcome: z.enum(DELIVERY_OUTCOMES).optional(),
        }),
        response: { 200: pageOf(deliveryObject) },
      },
    },
    async ({ query: { limit, cursor, ...filter } }) =>
      cursors.pageOf(
        (await daos.deliveries.pageOf(filter, cursors.read({ limit, cursor }))).map(present.delivery),
        limit,
      ),
  );

  api.post(
    '/v1/webhooks/deliveries/:id/replay',
    {
      config: { scope: 'operate', problems: ['entity.not_found'] },
      schema: {
        operationId: 'replayDelivery',
        description: 'Sends a delivery again, whatever became of it, with the same id and body.',
        tags: ['webhooks'],
        params: idParam,
        response: { 200: deliveryObject },
      },
    },
    async ({ params }) => {
      await ledger.write((tx) => replayDelivery(tx, params.id));
      return present.delivery(await daos.deliveries.get(params.id));
    },
  );
}
