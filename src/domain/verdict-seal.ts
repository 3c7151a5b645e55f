import { createHmac, timingSafeEqual } from 'node:crypto';

/** A green verdict: this execution passed on this tree under this digest. */
export interface SealedVerdict {
  treeId: string;
  digest: string;
  gateId: string;
}

/**
 * HMAC over green verdicts. Proves that a scheduler or worker wrote the verdict, because children never have the key
 * and write access to the database does not give it. Without a key nothing is sealed and every verdict counts.
 */
export class VerdictSeal {
  readonly #key: string | undefined;

  constructor(key: string | undefined) {
    this.#key = key;
  }

  /** Identifies the key without revealing it; null without a key. */
  get fingerprint(): string | null {
    return this.#hmac('fingerprint');
  }

  sign({ treeId, digest, gateId }: SealedVerdict): string | null {
    return this.#hmac(JSON.stringify(['passed', treeId, digest, gateId]));
  }

  holds(verdict: SealedVerdict, seal: string | null | undefined): boolean {
    const expected = this.sign(verdict);
    if (expected === null) return true;
    if (seal === null || seal === undefined || seal.length !== expected.length) return false;
    return timingSafeEqual(Buffer.from(seal), Buffer.from(expected));
  }

  /** Hashes the value of a variable, so that values can be compared without being stored; null without a key. */
  hashOf(url: string, name: string, value: string): string | null {
    return this.#hmac(JSON.stringify(['value', url, name, value]));
  }

  #hmac(text: string): string | null {
    return this.#key === undefined ? null : createHmac('sha256', this.#key).update(text).digest('hex');
  }
}
