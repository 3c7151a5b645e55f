import { createHash, randomBytes } from 'node:crypto';

/** Returns a new secret. It is shown once and never stored. */
export function newTokenSecret(): string {
  return `sluice_${randomBytes(24).toString('base64url')}`;
}

/** Hashes a token for storage. The secret has 192 random bits, so a plain hash is enough. */
export function hashToken(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
