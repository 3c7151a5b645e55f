import { randomBytes } from 'node:crypto';

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz';
const RANDOM_BITS = 80n;

let last = 0n;

/**
 * Returns a prefixed, time-ordered id: `task_` and 26 characters (48 bits of milliseconds, 80 random bits, Crockford
 * base 32). As text, ids of one process sort in the order of creation, ids of several processes by millisecond.
 */
export function newId(prefix: string, nowMs: number = Date.now()): string {
  const fresh = (BigInt(nowMs) << RANDOM_BITS) | BigInt(`0x${randomBytes(10).toString('hex')}`);
  last = fresh > last ? fresh : last + 1n;
  let bits = last;
  let text = '';
  for (let i = 0; i < 26; i += 1) {
    text = CROCKFORD[Number(bits & 31n)] + text;
    bits >>= 5n;
  }
  return `${prefix}_${text}`;
}
