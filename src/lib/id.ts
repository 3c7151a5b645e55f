import { randomBytes } from 'node:crypto';

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * A prefixed, time-ordered id: `task_` and 26 characters (48 bits of milliseconds, 80 random bits, Crockford base 32).
 * Ids made in a later millisecond sort after earlier ones as text.
 */
export function newId(prefix: string, nowMs: number = Date.now()): string {
  let bits = (BigInt(nowMs) << 80n) | BigInt(`0x${randomBytes(10).toString('hex')}`);
  let text = '';
  for (let i = 0; i < 26; i += 1) {
    text = CROCKFORD[Number(bits & 31n)] + text;
    bits >>= 5n;
  }
  return `${prefix}_${text}`;
}
