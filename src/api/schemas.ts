import { z } from 'zod';
import type { ActionBodies } from '../contract/actions.ts';
import { type Page, problemDetails } from '../contract/answers.ts';
import * as field from '../contract/fields.ts';

export const idParam = z.object({ id: z.string() });

export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(1_000).default(50),
  cursor: z.string().max(200).optional(),
};

/** Header of submissions: the same key and body return the same run. */
export const keyHeader = z.looseObject({ 'idempotency-key': z.string().min(1).max(200).optional() });

const reason = z.string().min(1).max(2_000);
const order = z.strictObject({ reason });

/** Schemas of the bodies of actions, by their names in `contract/actions.ts`. */
export const ACTION_BODIES = {
  note: z.strictObject({ reason: z.string().max(2_000).optional() }).nullish(),
  order,
  budget: order.extend({ usd: field.usd }),
  priority: order.extend({ priority: field.priority }),
} satisfies Record<keyof ActionBodies, z.ZodType>;

const problem = {
  description: 'Problem details (RFC 9457) with a stable code.',
  content: { 'application/problem+json': { schema: problemDetails } },
};

/** Error answers that every route may give. */
export const PROBLEMS = { '4xx': problem, '5xx': problem };

/** The cursor of a page is the last id on it. */
export function toPage<Item extends { id: string }>(items: Item[], limit: number): Page<Item> {
  return { items, next_cursor: items.length < limit ? null : (items.at(-1)?.id ?? null) };
}
