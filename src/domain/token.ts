import { createHash, randomBytes } from 'node:crypto';

/** A new secret; it is shown once and never stored. */
export function newTokenSecret(): string {
  return `sluice_${randomBytes(24).toString('base64url')}`;
}

/** What is stored of a token. The secret has 192 random bits, so a plain hash is enough. */
export function hashToken(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
