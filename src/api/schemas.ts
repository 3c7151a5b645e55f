import { z } from 'zod';
import type { ActionBodies } from '../contract/actions.ts';
import { pageOf } from '../contract/answers.ts';
import * as field from '../contract/fields.ts';

export const idParam = z.object({ id: z.string() });

/** Header of submissions: the same key and body return the same run. */
export const keyHeader = z.looseObject({ 'idempotency-key': z.string().min(1).max(200).optional() });

/** A page as JSON, or what follows it as server-sent events. */
export function pageOrStreamOf<Item extends z.ZodType>(item: Item) {
  return {
    description: 'A page as JSON; with server-sent events, one item as the `data` of each, and its `id`.',
    content: {
      'application/json': { schema: pageOf(item) },
      // The text of the stream. It is written to the socket, so nothing is serialised by this schema.
      'text/event-stream': { schema: z.string() as unknown as z.ZodType<undefined> },
    },
  };
}

const reason = z.string().min(1).max(2_000);
const order = z.strictObject({ reason });

/** Schemas of the bodies of actions, by their names in `contract/actions.ts`. */
export const ACTION_BODIES = {
  note: z.strictObject({ reason: z.string().max(2_000).optional() }).nullish(),
  order,
  budget: order.extend({ usd: field.usd }),
  priority: order.extend({ priority: field.priority }),
} satisfies Record<keyof ActionBodies, z.ZodType>;
