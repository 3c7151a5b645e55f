import { z } from 'zod';
import type { Page } from '../contract/answers.ts';
import { SluiceError } from '../contract/errors.ts';

/** Query of every list. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(1_000).default(50),
  cursor: z.string().max(400).optional().describe('`next_cursor` of the previous page.'),
};

const ID = /^[a-z]+_[0-9a-z]+$/;

/** A page as the DAOs read it: `cursor` is the last id of the previous page. */
export interface PageOfIds {
  limit: number;
  cursor: string | undefined;
}

/**
 * Cursors of one list. They are opaque to callers, and one that is broken or belongs to another list is refused: it would
 * give an empty page that looks like the end.
 */
export class Cursors {
  readonly #list: string;

  constructor(list: string) {
    this.#list = list;
  }

  /** Throws `cursor.invalid`. */
  read({ limit, cursor }: { limit: number; cursor?: string | undefined }): PageOfIds {
    if (cursor === undefined) return { limit, cursor };
    const [list, ...id] = Buffer.from(cursor, 'base64url').toString('utf8').split(' ');
    if (list !== this.#list || id.length !== 1 || !ID.test(id[0]!) || this.#cursorOf(id[0]!) !== cursor) {
      throw new SluiceError('cursor.invalid', `the cursor ${cursor} is none of the list of ${this.#list}`);
    }
    return { limit, cursor: id[0] };
  }

  /** A page that is not full is the last one. */
  pageOf<Item extends { id: string }>(items: Item[], limit: number): Page<Item> {
    const last = items.at(-1);
    return { items, next_cursor: last === undefined || items.length < limit ? null : this.#cursorOf(last.id) };
  }

  #cursorOf(id: string): string {
    return Buffer.from(`${this.#list} ${id}`, 'utf8').toString('base64url');
  }
}
