import type { FastifyReply, FastifyRequest } from 'fastify';
import { SluiceError } from '../contract/errors.ts';

const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];

/**
 * Refuses writes from pages of other sites, because a browser that holds the password of the board sends it with the
 * requests of any page.
 */
export function assertOwnOrigin({ method, headers }: FastifyRequest): void {
  const { origin, host } = headers;
  if (SAFE_METHODS.includes(method) || origin === undefined) return;
  if (URL.canParse(origin) && new URL(origin).host === host) return;
  throw new SluiceError(
    'auth.foreign_origin',
    'the request comes from a page of another site, and only pages of this API may write',
  );
}

const HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};
const NOTHING = "default-src 'none'; frame-ancestors 'none'";
const OWN_PAGES =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'; base-uri 'self'";

/** Sets the security headers of every answer. `isPage` allows the page its own scripts and styles. */
export function setSafetyHeaders(reply: FastifyReply, { isPage }: { isPage: boolean }): void {
  void reply.headers({ ...HEADERS, 'content-security-policy': isPage ? OWN_PAGES : NOTHING });
}
