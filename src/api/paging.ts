import { z } from 'zod';
import type { ApiObject } from './representation.ts';

export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(1_000).default(50),
  cursor: z.string().max(200).optional(),
};

export interface ObjectPage {
  items: ApiObject[];
  /** Give it as `cursor` for the next page; null at the end. */
  next_cursor: string | null;
}

export function toPage(items: ApiObject[], limit: number): ObjectPage {
  return { items, next_cursor: items.length < limit ? null : (items.at(-1)?.id ?? null) };
}
