import type { FastifyReply, FastifyRequest } from 'fastify';
import { SluiceError } from '../contract/errors.ts';

const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];

/** A browser that has the board's password sends it along for any page: only our own pages may have it write. */
export function assertOwnOrigin({ method, headers }: FastifyRequest): void {
  const { origin, host } = headers;
  if (SAFE_METHODS.includes(method) || origin === undefined) return;
  if (URL.canParse(origin) && new URL(origin).host === host) return;
  throw new SluiceError('auth.foreign_origin', 'a page of another site may not write here');
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

/** What no answer goes without. `isPage`: with scripts and styles of its own. */
export function setSafetyHeaders(reply: FastifyReply, { isPage }: { isPage: boolean }): void {
  void reply.headers({ ...HEADERS, 'content-security-policy': isPage ? OWN_PAGES : NOTHING });
}
