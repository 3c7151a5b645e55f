import { SluiceError } from '../contract/errors.ts';
import type { NameDao, NamedKind } from '../dao/name-dao.ts';

const FULL_ID = /^[a-z]+_[0-9a-z]{26}$/;

/**
 * Returns the id that a text stands for: an id, the beginning of one, or names such as `nightly/lint/fix`. The newest run
 * of a name counts. A text that stands for nothing is returned as it is. Throws `entity.ambiguous`.
 */
export async function idFor(names: NameDao, kinds: readonly NamedKind[], text: string): Promise<string> {
  if (FULL_ID.test(text)) return text;
  const found = await names.find(kinds, text);
  if (found.length > 1) {
    throw new SluiceError('entity.ambiguous', `${text} is the beginning of several ids: ${found.join(', ')}`, {
      facts: { ids: found },
    });
  }
  return found[0] ?? text;
}
